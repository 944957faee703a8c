#![doc = include_str!("README.md")]

mod control;

pub use control::{
    Checked, Control, ControlError, Projection, ProjectionState, SigningKey, Verified,
};
