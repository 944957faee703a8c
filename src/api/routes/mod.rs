//! The routes, one module per noun: each extracts, calls, renders.

pub(crate) mod access;
pub(crate) mod operations;
