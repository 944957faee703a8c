//! Questions about access in people's words: what was asked is read here, the server answers.

pub mod explanation;
pub mod image;
pub mod why;
