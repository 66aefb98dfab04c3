//! A conformance suite for AEMP nodes. To come: see the README of this folder.
