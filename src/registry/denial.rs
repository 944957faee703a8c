//! Which clients show a reason, and what a refusal says (clients.md section 7, C28).
//! Decides nothing: the verdict and its reasons come from the access crate.

use rollcall_access::{Explanation, NearMiss, Standing, Verb};
use serde::{Deserialize, Serialize};

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

/// The program that asks, as its `User-Agent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientFamily {
    /// The docker daemon or CLI.
    Docker,
    /// helm.
    Helm,
    /// skopeo.
    Skopeo,
    /// podman, which names the library only.
    Podman,
    /// buildah.
    Buildah,
    /// containerd, and a kubelet above it.
    Containerd,
    /// crane, ko, kaniko.
    Crane,
    /// oras.
    Oras,
    /// Anything else.
    Other,
}

impl ClientFamily {
    /// The family of a `User-Agent`. The start decides: what follows may quote another client's name.
    #[must_use]
    pub fn of(user_agent: &str) -> Self {
        const STARTS: [(&str, ClientFamily); 13] = [
            ("docker/", ClientFamily::Docker),
            ("Docker-Client/", ClientFamily::Docker),
            ("Helm/", ClientFamily::Helm),
            ("skopeo/", ClientFamily::Skopeo),
            ("containers/", ClientFamily::Podman),
            ("libpod/", ClientFamily::Podman),
            ("Buildah/", ClientFamily::Buildah),
            ("containerd/", ClientFamily::Containerd),
            ("go-containerregistry", ClientFamily::Crane),
            ("crane/", ClientFamily::Crane),
            ("kaniko/", ClientFamily::Crane),
            ("oras/", ClientFamily::Oras),
            ("oras-", ClientFamily::Oras),
        ];
        let found = STARTS.iter().find(|(start, _)| user_agent.starts_with(start));
        found.map_or(Self::Other, |(_, family)| *family)
    }

    /// Whether it shows the text of a 403 of the token endpoint.
    #[must_use]
    pub fn shows_reasons(self) -> bool {
        matches!(self, Self::Docker | Self::Helm)
    }

    /// Its name in records and labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Helm => "helm",
            Self::Skopeo => "skopeo",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Containerd => "containerd",
            Self::Crane => "crane",
            Self::Oras => "oras",
            Self::Other => "other",
        }
    }
}

impl DenialMode {
    /// Whether this client gets a reason.
    #[must_use]
    pub fn explains_to(self, client: ClientFamily) -> bool {
        match self {
            Self::Auto => client.shows_reasons(),
            Self::Explain => true,
            Self::Standard => false,
        }
    }
}

/// A refusal in one sentence: what the nearest way to a yes rests on, and what stands in it.
pub(crate) fn text(verb: Verb, why: &Explanation) -> String {
    // A way on which something was never true says nothing about this user, and too much about others.
    let once = |miss: &&NearMiss| miss.obstacles.iter().all(|obstacle| obstacle.standing != Standing::Never);
    if let Some(miss) = why.near_misses.iter().find(once) {
        let obstacles: Vec<&str> = miss.obstacles.iter().map(|obstacle| obstacle.text.as_str()).collect();
        let (verb, obstacles) = (verb.word(), obstacles.join(", and "));
        return format!("you cannot {verb}: {obstacles}; access here rests on {}", miss.reason.text);
    }
    if let (Some(ceiling), Some(_)) = (why.ceilings.first(), why.reasons.first()) {
        return format!("you cannot {}: {}", verb.word(), ceiling.text);
    }
    match why.reasons.iter().find(|reason| reason.rule != "baseline") {
        Some(reason) => format!("your role {} does not allow to {} here", reason.role, verb.word()),
        None => format!("you may not {} here", verb.word()),
    }
}

/// A refusal of something that nobody may do.
pub(crate) fn never(verb: Verb) -> String {
    format!("nobody may {} here: the access profile has no such action", verb.word())
}

/// The longest message that clients show whole.
const LONGEST: usize = 300;

/// One line of at most 300 characters: the image, why not, and the decision's id, which is never cut.
pub(crate) fn message(repository: &str, reason: &str, decision: &str) -> String {
    let room = LONGEST.saturating_sub(repository.chars().count() + decision.len() + 5);
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
    fn clients_are_told_apart_by_how_their_user_agent_starts() {
        for (agent, family) in [
            ("skopeo/1.9.3", ClientFamily::Skopeo),
            ("containers/5.23.1 (github.com/containers/image)", ClientFamily::Podman),
            ("Buildah/1.28.2", ClientFamily::Buildah),
            ("Docker-Client/28.2.2 (linux)", ClientFamily::Docker),
            (r"docker/20.10.24 go/go1.19 UpstreamClient(Docker-Client/28.2.2 \(linux\))", ClientFamily::Docker),
            ("oras-py", ClientFamily::Oras),
            ("containerd/1.6.20", ClientFamily::Containerd),
            ("Helm/3.19.0", ClientFamily::Helm),
            ("curl/8 docker/1", ClientFamily::Other),
            ("", ClientFamily::Other),
        ] {
            assert_eq!(ClientFamily::of(agent), family, "{agent}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_300_characters_at_most_and_keeps_its_id() {
        let id = "dec_0190a7f0c0de7000800000000000beef";
        let short = message("acme/db", "your entitlement ENT-7\nended on 2026-03-02", id);
        assert_eq!(short, format!("acme/db: your entitlement ENT-7 ended on 2026-03-02 [{id}]"));
        let long = message("acme/db", &"é ".repeat(500), id);
        assert_eq!(long.chars().count(), 300);
        assert!(long.ends_with(&format!("... [{id}]")));
        let longest_name = format!("a/{}", "b".repeat(253));
        assert!(message(&longest_name, &"x".repeat(500), id).chars().count() <= 300);
    }
}
