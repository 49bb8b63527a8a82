//! Random policies and pods.
