//! The evaluator against a second account of the rules, the invariants one by one, and explanations that are acted upon.

mod agreement;
mod endings;
mod explained;
mod invariants;
mod naive;
mod tables;
mod worlds;
