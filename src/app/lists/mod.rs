//! Lists that are read page by page.

pub(crate) mod kept;
pub(crate) mod page;
