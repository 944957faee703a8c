//! The ids of bindings, as paths name them: `bnd_` and the subject, or, for people, `bnd_` and the beginning of the subject's
//! digest. Knows no roster.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rollcall_events::{
    Body, Digest,
    body::{self, Author, BindingRef},
};

use crate::prefix;

/// The id of the binding with this subject: who, which role, where.
pub(crate) fn of_subject(subject: &str) -> String {
    format!("bnd_{}", URL_SAFE_NO_PAD.encode(subject))
}

/// The id of the binding with this subject as people write it. At least six digits of it will do.
pub(crate) fn short_of_subject(subject: &str) -> String {
    format!("bnd_{:012x}", Digest::of(subject.as_bytes()).prefix() >> 16)
}

/// The digits of a short id, or of its beginning.
pub(crate) fn digits(id: &str) -> Option<String> {
    let begins = prefix::of_kind("bnd", id)?;
    begins.strip_prefix("bnd_").filter(|digits| digits.len() <= 16).map(str::to_owned)
}

/// The binding of an id. Whether there is such a one, the roster knows.
pub(crate) fn parse(id: &str) -> Option<BindingRef> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix("bnd_")?).ok()?;
    parse_subject(&String::from_utf8(bytes).ok()?)
}

/// The binding of a subject.
pub(crate) fn parse_subject(subject: &str) -> Option<BindingRef> {
    let mut parts = subject.strip_prefix("binding/")?.split('/').map(|p| p.replace("%2F", "/").replace("%25", "%"));
    let (principal, role, scope) = (parts.next()?, parts.next()?, parts.next()?);
    let (kind, who) = principal.split_once(':')?;
    let who = who.parse().ok()?;
    let principal = match kind {
        "user" => body::Principal::User(who),
        "service" => body::Principal::Service(who),
        "group" => body::Principal::Group(who),
        _ => return None,
    };
    let scope = match scope.split_once(':') {
        None if scope == "root" => body::Scope::Root,
        Some(("project", id)) => body::Scope::Project(id.parse().ok()?),
        Some(("folder", id)) => body::Scope::Folder(id.parse().ok()?),
        _ => return None,
    };
    let binding = BindingRef { principal, role, scope, author: Author::operator(), made_with: None };
    // Only what reads back as the very same subject is the id of a binding.
    (Body::BindingRemoved(binding.clone()).subject() == subject).then_some(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_found_by_its_id_and_by_nothing_else() {
        let binding = BindingRef {
            principal: body::Principal::User("flexnet/a%2Fb".parse().unwrap()),
            role: "Project/Admin%".to_owned(),
            scope: body::Scope::Project("flexnet/db".parse().unwrap()),
            author: Author::operator(),
            made_with: None,
        };
        let id = of_subject(&Body::BindingRemoved(binding.clone()).subject());
        assert_eq!(parse(&id), Some(binding));
        for bad in ["", "bnd_", "bnd_!", "bnd_YmluZGluZy9h", &id[1..]] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
