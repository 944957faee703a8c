//! Pages as they were, with what tells whether they are still so: what did not change is not sent again.

use std::collections::HashMap;

use bytes::Bytes;
use rollcall_outbound::{Url, Validators};

/// How many bytes of pages are kept of one source. Those beyond are asked for in full.
const MAX_BYTES: usize = 16 << 20;

/// The pages of a source.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pages: HashMap<Url, Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    validators: Validators,
    body: Bytes,
    /// Whether it was on the way of the read that goes on.
    used: bool,
}

impl Cache {
    /// What tells whether a page changed.
    pub fn validators(&self, url: &Url) -> Option<Validators> {
        Some(self.pages.get(url)?.validators.clone())
    }

    /// The page, which did not change.
    pub fn take_up(&mut self, url: &Url) -> Option<Bytes> {
        let kept = self.pages.get_mut(url)?;
        kept.used = true;
        Some(kept.body.clone())
    }

    /// Keeps a page, where it can be asked for by what tells whether it changed and there is room.
    pub fn keep(&mut self, url: &Url, validators: Validators, body: &Bytes) {
        self.drop_page(url);
        if validators.is_empty() || self.bytes + body.len() > MAX_BYTES {
            return;
        }
        self.bytes += body.len();
        self.pages.insert(url.clone(), Kept { validators, body: body.clone(), used: true });
    }

    /// Forgets the pages that a read which came to its end did not come by.
    pub fn forget_the_rest(&mut self) {
        let over: Vec<Url> = self.pages.iter().filter(|(_, kept)| !kept.used).map(|(url, _)| url.clone()).collect();
        over.iter().for_each(|url| self.drop_page(url));
        self.pages.values_mut().for_each(|kept| kept.used = false);
    }

    fn drop_page(&mut self, url: &Url) {
        if let Some(kept) = self.pages.remove(url) {
            self.bytes -= kept.body.len();
        }
    }
}
