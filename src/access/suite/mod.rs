//! The evaluator against a second account of the rules, the invariants and corners one by one, explanations that are acted
//! upon, one log that gives one roster, and what would be said before it is.

mod agreement;
mod edges;
mod endings;
mod epochs;
mod explained;
mod invariants;
mod naive;
mod ready;
mod replayed;
mod tables;
mod trials;
mod worlds;
