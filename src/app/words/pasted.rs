//! What a customer pasted, read for the image, the action, the user and the ids that are in it: a reference with host, tag and
//! digest, a command line, the error of a client. Pure; asks nobody, and never gives out what could be a password.

use std::collections::BTreeSet;

use crate::prefix;

/// An image as clients write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The registry, with its port, where one stands before the name.
    pub host: Option<String>,
    /// The name without it: `acme/db`.
    pub name: String,
    /// What of it is meant: `:1.2`, `@sha256:..`. It changes no answer.
    pub version: Option<String>,
}

/// What could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pasted {
    /// A decision's id, or its beginning.
    pub decision: Option<String>,
    /// A delivery's id, or its beginning.
    pub delivery: Option<String>,
    /// Who asked, where it is said.
    pub user: Option<String>,
    /// `pull`, `push` or `delete`, where it is said.
    pub action: Option<&'static str>,
    /// What it was about.
    pub image: Option<Image>,
    /// The names of the other images that stand there with their registry.
    pub others: Vec<String>,
    /// The client says that it was not known who asked.
    pub unauthorized: bool,
}

/// Programs that pull and push.
pub const CLIENTS: [&str; 12] =
    ["docker", "podman", "nerdctl", "skopeo", "buildah", "crane", "regctl", "helm", "oras", "ctr", "crictl", "kubectl"];

/// Behind which options a user's name or a password stands; and what gives one to a command that reads it.
const SECRETIVE: [&str; 10] =
    ["--username", "--user", "-u", "--creds", "--src-creds", "--dest-creds", "--password", "-p", "echo", "printf"];

/// What stands before a reference that a program takes.
const SCHEMES: [&str; 6] = ["docker://", "oci://", "docker-daemon:", "containers-storage:", "https://", "http://"];

impl Image {
    /// Reads a reference: `acme/db`, `registry.example.com:5000/acme/db:1.2@sha256:..`, `docker://..`, `oci://..`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return None;
        }
        // A colon before the last slash is a port's.
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let tag = name.get(slash..).and_then(|last| last.find(':')).map(|at| slash + at);
        let (name, tag) = tag.map_or((name, None), |at| (name.get(..at).unwrap_or(name), name.get(at + 1..)));
        if tag.is_some_and(|tag| tag.is_empty() || !tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)))
        {
            return None;
        }
        let (host, name) = match name.split_once('/') {
            Some((host, rest)) if is_host(host) => (Some(host.to_owned()), rest),
            _ => (None, name),
        };
        let part = |part: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(inner)
        };
        if name.is_empty() || !name.split('/').all(part) {
            return None;
        }
        let version = match (tag, digest) {
            (None, None) => None,
            (tag, digest) => {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                Some(tag + &digest.map(|digest| format!("@{digest}")).unwrap_or_default())
            }
        };
        Some(Self { host, name: name.to_owned(), version })
    }
}

fn is_digest(text: &str) -> bool {
    let hex = |text: &str| text.len() >= 6 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once(':')
        .is_some_and(|(kind, digest)| kind.starts_with("sha") && (hex(digest) || digest.starts_with("..")))
}

/// Whether what stands before the first slash is a registry's host, as clients tell it.
fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let is_port = |port: &str| port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit());
    (text == "localhost" || text.contains(['.', ':']))
        && text.chars().all(fits)
        && text.rsplit_once(':').is_none_or(|(_, port)| is_port(port))
}

impl Pasted {
    /// Reads whatever is there.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text = percent_decoded(text);
        let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "\"'`\\<>,|()".contains(c)).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let lower = text.to_ascii_lowercase();
        let (scoped, scope_action) = scope(&text);
        let by_path = words.iter().find_map(|word| of_v2(word));
        let method = words.iter().find_map(|word| match word.trim_end_matches(':') {
            "PUT" | "POST" | "PATCH" => Some("push"),
            "DELETE" => Some("delete"),
            _ => None,
        });
        let command = words.iter().find_map(|word| match word.trim_end_matches([':', ';', '.']) {
            "push" => Some("push"),
            "delete" | "rmi" => Some("delete"),
            "pull" | "run" | "create" | "inspect" => Some("pull"),
            _ => None,
        });
        let action = scope_action.or(by_path.as_ref().and(method)).or(command);
        let named_words = trimmed(&words);
        let image = scoped.or(by_path).or_else(|| named(&named_words));
        let images = words.iter().filter_map(|word| of_v2(word)).chain(with_registry(&named_words));
        let others: BTreeSet<String> = images.map(|image| image.name).collect();
        let others = others.into_iter().filter(|name| image.as_ref().is_some_and(|image| image.name != *name));
        Self {
            others: others.collect(),
            decision: id(&text, "dec_"),
            delivery: id(&text, "dlv_"),
            user: user(&text, &words),
            action,
            image,
            unauthorized: ["unauthorized", "authentication required", "invalid username/password", "401"]
                .iter()
                .any(|said| lower.contains(said)),
        }
    }
}

/// `%3A` is a colon: addresses stand in the errors of clients.
fn percent_decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after.get(..2).and_then(|two| u8::from_str_radix(two, 16).ok()).filter(u8::is_ascii_graphic);
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out + rest
}

/// The id of a kind that stands in a text, the decision's of a refusal in brackets.
fn id(text: &str, kind: &str) -> Option<String> {
    text.match_indices(kind).find_map(|(at, _)| {
        let rest = text.get(at + kind.len()..)?;
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let before = text.get(..at)?.chars().next_back();
        let alone = before.is_none_or(|c| !c.is_ascii_alphanumeric());
        (digits >= prefix::LEAST && alone).then(|| format!("{kind}{}", rest.get(..digits).unwrap_or_default()))
    })
}

/// `repository:acme/db:pull,push` of an address or of a challenge.
fn scope(text: &str) -> (Option<Image>, Option<&'static str>) {
    let found = text.match_indices("repository:").find_map(|(at, begins)| {
        let rest = text.get(at + begins.len()..)?;
        let ends = rest.find(|c: char| c.is_whitespace() || "\"'&;)".contains(c)).unwrap_or(rest.len());
        let (name, actions) = rest.get(..ends)?.rsplit_once(':')?;
        let image = Image::read(name)?;
        let asked: Vec<&str> = actions.split(',').collect();
        let action = ["delete", "push", "pull"].into_iter().find(|action| asked.contains(action));
        Some((image, action))
    });
    found.map_or((None, None), |(image, action)| (Some(image), action))
}

/// The repository of an address of a registry: `https://host/v2/acme/db/manifests/1.2`.
fn of_v2(word: &str) -> Option<Image> {
    let (before, rest) = word.split_once("/v2/")?;
    let ends = ["/manifests/", "/blobs/", "/tags/", "/referrers/"].iter().filter_map(|part| rest.find(part)).min()?;
    let host = before.rsplit("://").next().filter(|host| is_host(host)).map(str::to_owned);
    Image::read(rest.get(..ends)?).map(|image| Image { host, ..image })
}

/// The words without what sentences put around them; neither ids, nor options, nor what could be a password.
fn trimmed(words: &[&str]) -> Vec<String> {
    let trimmed = |word: &str| word.trim_matches(|c| "[]{}.;!?".contains(c)).trim_end_matches(':').to_owned();
    let is_id = |word: &str| id(word, "dec_").or_else(|| id(word, "dlv_")).is_some();
    let before = std::iter::once(&"").chain(words);
    let open = words
        .iter()
        .zip(before)
        .filter(|(word, before)| !SECRETIVE.contains(before) && !is_id(word) && !word.starts_with('-'));
    open.map(|(word, _)| trimmed(word)).collect()
}

/// What could be a reference, addresses apart.
fn plain(words: &[String]) -> impl Iterator<Item = &String> {
    words.iter().filter(|word| !word.contains("://"))
}

fn read(word: &str) -> Option<Image> {
    Image::read(word).filter(|image| image.name.len() < word.len() || word.contains('/'))
}

/// What names a registry, or says that it is in one.
fn with_registry(words: &[String]) -> impl Iterator<Item = Image> {
    let is_scheme = |word: &&String| ["docker://", "oci://"].iter().any(|scheme| word.starts_with(scheme));
    let with_scheme = words.iter().filter(is_scheme).filter_map(|word| Image::read(word));
    with_scheme.chain(plain(words).filter_map(|word| read(word)).filter(|image| image.host.is_some()))
}

/// The reference among the words of a command line or of an error.
fn named(words: &[String]) -> Option<Image> {
    // What names a registry is surely meant; then what a command or a sentence is about; then whatever has a slash.
    let after = || {
        let leads = ["for", "repository", "image", "reference", "pull", "push", "run", "in", "from"];
        let pairs = words.windows(2).filter(|pair| pair.first().is_some_and(|word| leads.contains(&word.as_str())));
        pairs.filter_map(|pair| pair.get(1)).filter(|word| word.contains('/')).find_map(|word| read(word))
    };
    let any = || plain(words).filter(|word| word.contains('/')).find_map(|word| read(word));
    // The message of our own refusal begins with the image: `acme/db: you cannot pull`.
    with_registry(words).next().or_else(after).or_else(any).or_else(|| match words {
        [only] => Image::read(only),
        _ => None,
    })
}

/// Who asked: `account=ada` of a token's address, the user of a login's options. Never what stands behind a colon.
fn user(text: &str, words: &[&str]) -> Option<String> {
    let account = text.split("account=").nth(1).map(|rest| {
        let ends = rest.find(|c: char| c.is_whitespace() || "&\"'".contains(c)).unwrap_or(rest.len());
        rest.get(..ends).unwrap_or_default()
    });
    let option = || {
        words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
            Some(("--username" | "--creds" | "--user", value)) => Some(value),
            None if ["--username", "--creds", "--user", "-u"].contains(word) => words.get(at + 1).copied(),
            _ => None,
        })
    };
    let name = account.or_else(option)?.split(':').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(host: &str, name: &str, version: &str) -> Option<Image> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Image { host: some(host), name: name.to_owned(), version: some(version) })
    }

    #[test]
    fn a_reference_is_taken_apart() {
        let digest = format!("@sha256:{}", "0a".repeat(32));
        for (text, read) in [
            ("acme", image("", "acme", "")),
            ("acme/db", image("", "acme/db", "")),
            ("acme/db:1.2", image("", "acme/db", ":1.2")),
            ("registry.example.com/acme/db", image("registry.example.com", "acme/db", "")),
            ("registry.example.com:5000/acme/db/x:1.2", image("registry.example.com:5000", "acme/db/x", ":1.2")),
            ("localhost/acme/db", image("localhost", "acme/db", "")),
            ("docker://r.test/acme/db:1", image("r.test", "acme/db", ":1")),
            ("oci://r.test/acme/chart", image("r.test", "acme/chart", "")),
            (&format!("r.test/acme/db:1.2{digest}"), image("r.test", "acme/db", &format!(":1.2{digest}"))),
            (&format!("acme/db{digest}"), image("", "acme/db", &digest)),
        ] {
            assert_eq!(Image::read(text), read, "{text}");
        }
        for none in ["", "/", "acme//db", "acme/db:", "acme/db@x", "r.test/", "acme/db:a b", "ada@globex.test"] {
            assert_eq!(Image::read(none), None, "{none}");
        }
    }

    /// The texts of clients as they print them, and what is to be read.
    #[test]
    fn the_errors_of_clients_are_read() {
        let dec = "dec_0190a7f0c0de7000800000000000beef";
        let table: Vec<(String, &str, Option<Image>, Option<&str>)> = vec![
            (
                "Error response from daemon: pull access denied for registry.example.com/acme/db, repository does not exist or may require 'docker login': denied: requested access to the resource is denied".into(),
                "pull", image("registry.example.com", "acme/db", ""), None,
            ),
            (
                "The push refers to repository [registry.example.com:5000/acme/db]\n5f70bf18a086: Preparing\ndenied: requested access to the resource is denied".into(),
                "push", image("registry.example.com:5000", "acme/db", ""), None,
            ),
            (
                format!("Error response from daemon: Head \"https://r.test/v2/acme/db/manifests/1.2\": denied: acme/db: you cannot pull: entitlement ENT-7 is inactive; access here rests on entitlement ENT-7 [{dec}]"),
                "pull", image("r.test", "acme/db", ""), Some(dec),
            ),
            (
                "Failed to pull image \"r.test/acme/db:1.2\": rpc error: code = Unknown desc = failed to pull and unpack image \"r.test/acme/db:1.2\": failed to resolve reference \"r.test/acme/db:1.2\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed".into(),
                "pull", image("r.test", "acme/db", ":1.2"), None,
            ),
            (
                "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://rollcall.test/token?account=ada&scope=repository%3Aacme%2Fdb%3Apull&service=rollcall: 403 Forbidden".into(),
                "pull", image("", "acme/db", ""), None,
            ),
            (
                "Error: initializing source docker://r.test/acme/db:1.2: Requesting bearer token: invalid status code from registry 403 (Forbidden)".into(),
                "", image("r.test", "acme/db", ":1.2"), None,
            ),
            (
                "Error: initializing source docker://r.test/acme/db:1: reading manifest 1 in r.test/acme/db: requested access to the resource is denied".into(),
                "", image("r.test", "acme/db", ":1"), None,
            ),
            (
                format!("Error: fetching manifest r.test/acme/db:1: GET https://rollcall.test/token?scope=repository%3Aacme%2Fdb%3Apush%2Cpull&service=rollcall: DENIED: acme/db: your role Guest does not allow to push here [{dec}]"),
                "push", image("", "acme/db", ""), Some(dec),
            ),
            (
                "Error: PUT https://r.test/v2/acme/db/manifests/1: UNAUTHORIZED: authentication required".into(),
                "push", image("r.test", "acme/db", ""), None,
            ),
            (format!("Error: denied: acme/chart: you may not pull here [{dec}]"), "pull", image("", "acme/chart", ""), Some(dec)),
            ("docker pull r.test/acme/db:1.2".into(), "pull", image("r.test", "acme/db", ":1.2"), None),
            ("$ docker push acme/db".into(), "push", image("", "acme/db", ""), None),
            ("helm pull oci://r.test/acme/chart --version 1.2".into(), "pull", image("r.test", "acme/chart", ""), None),
            (dec.to_owned(), "", None, Some(dec)),
            ("[dec_0190a7]".into(), "", None, Some("dec_0190a7")),
            ("unauthorized: incorrect username or password".into(), "", None, None),
            ("nothing of use".into(), "", None, None),
        ];
        for (text, action, image, decision) in table {
            let read = Pasted::read(&text);
            assert_eq!(
                (read.image, read.action.unwrap_or_default(), read.decision.as_deref()),
                (image, action, decision),
                "{text}"
            );
            assert_eq!(read.others, [] as [String; 0], "{text}");
        }
        let read =
            Pasted::read("docker pull r.test/acme/db && docker push r.test/zeta/db && docker pull r.test/acme/db");
        assert_eq!((read.image, read.others), (image("r.test", "acme/db", ""), vec!["zeta/db".to_owned()]));
        for text in [
            "docker login -u ada -p pa/ss r.test",
            "docker login --username ada --password r.test/ss r.test",
            "docker login -u ada -pr.test/ss r.test",
            "echo r.test/ss | docker login -u ada --password-stdin r.test",
            "skopeo inspect --src-creds ada:pa/ss",
            "ada:pa/ss",
        ] {
            let read = Pasted::read(text);
            assert_eq!((read.image, read.others), (None, Vec::new()), "{text}: a password is no image");
        }
        let read = Pasted::read(
            "GET https://rollcall.test/token?account=ada%40globex.test&scope=repository%3Aacme%2Fdb%3Apull",
        );
        assert_eq!(read.user.as_deref(), Some("ada@globex.test"));
        let read = Pasted::read("skopeo inspect --creds ada:pa:ss docker://r.test/acme/db");
        assert_eq!(read.user.as_deref(), Some("ada"), "and never the password");
        assert!(Pasted::read("unauthorized: authentication required").unauthorized);
        assert_eq!(Pasted::read("see dlv_0190a7f0c0de, please").delivery.as_deref(), Some("dlv_0190a7f0c0de"));
    }
}
