//! The evaluator against a second account of the rules, the invariants and corners one by one, explanations that are acted
//! upon, and one log that gives one roster.

mod agreement;
mod edges;
mod endings;
mod explained;
mod invariants;
mod naive;
mod ready;
mod replayed;
mod tables;
mod worlds;
