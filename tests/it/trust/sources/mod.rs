//! What becomes of a source as a whole, on the whole server.

mod retired;
mod suspended;
