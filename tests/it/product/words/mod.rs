//! Questions are asked in people's words: names, short ids, moments, what somebody pasted. By the command line, as a support
//! engineer would.

mod authors;
mod browser;
mod groups;
mod lists;
mod pasted;
