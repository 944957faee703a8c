//! The evaluator against a reference implementation of the rules, the invariants and corners one by one, explanations
//! that are acted upon, one log that gives one roster, and what would be said before it is. The kit for all tests of
//! this crate is `histories`; random worlds are `worlds`, a small installation under administration is `installation`.

mod agreement;
mod causes;
mod configurations;
mod dry_runs;
mod edges;
mod endings;
mod epochs;
mod explained;
mod fast_path;
mod helpers;
pub(crate) mod histories;
mod installation;
mod invariants;
mod laws;
mod names;
mod problems;
mod reference;
mod replayed;
mod slices;
mod tables;
mod worlds;
