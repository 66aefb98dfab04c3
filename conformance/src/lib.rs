//! To come: see the README of this folder.
