//! A tokio node that speaks AEMP. To come: see the README of this folder.
