//! Which clients show why they are refused, and the form in which they are told (clients.md section 7, C28). What is said
//! is `authorize/denial.rs`.

use serde::{Deserialize, Serialize};

use crate::client::ClientFamily;

/// When a refusal is a 403 with a readable reason instead of a token without access.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenialMode {
    /// For clients that show it.
    #[default]
    Auto,
    /// For every client.
    Explain,
    /// For none: the specification's way.
    Standard,
}

impl DenialMode {
    /// Whether this client, which may name the library that asks for it, gets a reason.
    #[must_use]
    pub fn explains_to(self, client: ClientFamily, library: Option<&str>) -> bool {
        match self {
            Self::Auto => client.shows_reasons(library),
            Self::Explain => true,
            Self::Standard => false,
        }
    }
}

/// The longest message that clients show whole.
const MAX_MESSAGE_CHARS: usize = 300;

/// One line of at most 300 characters: the image, why not, and the decision's id, which is never cut.
pub(crate) fn denial_message(repository: &str, reason: &str, decision: &str) -> String {
    let room = MAX_MESSAGE_CHARS.saturating_sub(repository.chars().count() + decision.len() + 5);
    let mut one_line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() > room {
        one_line = one_line.chars().take(room.saturating_sub(3)).collect::<String>() + "...";
    }
    format!("{repository}: {one_line} [{decision}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_300_characters_at_most_and_keeps_its_id() {
        let id = "dec_0190a7f0c0de7000800000000000beef";
        let short = denial_message("acme/db", "your entitlement ENT-7\nended on 2026-03-02", id);
        assert_eq!(short, format!("acme/db: your entitlement ENT-7 ended on 2026-03-02 [{id}]"));
        let long = denial_message("acme/db", &"é ".repeat(500), id);
        assert_eq!(long.chars().count(), 300);
        assert!(long.ends_with(&format!("... [{id}]")));
        let longest_name = format!("a/{}", "b".repeat(253));
        assert!(denial_message(&longest_name, &"x".repeat(500), id).chars().count() <= 300);
    }
}
