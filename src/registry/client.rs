//! The programs that speak to a registry, told apart by what they call themselves. Nothing but texts and labels depends
//! on it: everybody can send any name.

use serde::{Deserialize, Serialize};

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

    /// Whether it shows the text of a 403 of the token endpoint. The library is what asks for it, as its `client_id` says:
    /// helm up to 3.17 pulls a named version through containerd's, which keeps the status and drops the text.
    #[must_use]
    pub fn shows_reasons(self, library: Option<&str>) -> bool {
        match self {
            Self::Docker => true,
            Self::Helm => library != Some("containerd-client"),
            Self::Skopeo | Self::Podman | Self::Buildah | Self::Containerd | Self::Crane | Self::Oras | Self::Other => {
                false
            }
        }
    }

    /// Its name in records and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
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
}
