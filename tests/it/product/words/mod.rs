//! Questions are asked in people's words: names, short ids, moments, what somebody pasted. By the command line, as a support
//! engineer would.

mod lists;
