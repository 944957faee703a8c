//! What one connection may cost, and how it ends: a share per address, a write time-out that looks for progress, and answers
//! that came before the request was read. Knows bytes and addresses, and nothing of what is served.

mod progress;
mod shares;
mod unread;

pub use self::{
    progress::{Progress, Unread},
    shares::Shares,
    unread::answer,
};
