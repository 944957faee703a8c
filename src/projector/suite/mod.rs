//! The loop on a log in memory and a read side on disk, in random worlds too.

mod held;
mod kit;
mod older_fold;
mod projector_tests;
mod rounds;
mod worlds;
