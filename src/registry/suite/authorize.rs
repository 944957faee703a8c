//! The question apart from any token.

use chrono::TimeDelta;
use rollcall_access::{Principal, Verb, Verdict};

use super::kit::{World, noon};
use crate::{Authorization, Reference, RepositoryName, Resource, authorize};

fn ask(world: &World, user: &str, repository: &str, reference: Option<&str>, verbs: &[Verb]) -> Authorization {
    let roster = world.live.read();
    let principal = roster.user_by_name(user).map_or(Principal::Anyone, Principal::User);
    let name = RepositoryName::parse(repository.into()).unwrap();
    let reference = reference.map(|text| Reference::parse(text.into()).unwrap());
    let resource = Resource::Repository { name: &name, reference: reference.as_ref() };
    authorize(&roster, principal, &resource, |verb| verbs.contains(&verb), world.now())
}

#[tokio::test]
async fn each_asked_verb_has_its_own_verdict_and_its_own_end() {
    let world = World::new();
    let ends = noon() + TimeDelta::days(1);
    world.line(Some(ends));
    let digest = format!("sha256:{}", "0a".repeat(32));
    for reference in [None, Some("latest"), Some(digest.as_str())] {
        let ada = ask(&world, "ada", "acme/db", reference, &[Verb::Push, Verb::Pull]);
        assert_eq!(ada.verdict(Verb::Pull), Some(Verdict::Allowed { until: Some(ends) }), "{reference:?}");
        assert_eq!((ada.verdict(Verb::Push), ada.verdict(Verb::Delete)), (Some(Verdict::Denied), None));
        assert_eq!(ada.verdicts().map(|(verb, _)| verb).collect::<Vec<_>>(), [Verb::Pull, Verb::Push]);
        let bob = ask(&world, "bob", "acme/db", reference, &Verb::ALL);
        assert_eq!(bob.verdict(Verb::Push), Some(Verdict::Allowed { until: None }), "{reference:?}");
        assert_eq!(bob.verdict(Verb::Delete), Some(Verdict::Denied), "no action of the profile deletes");
    }
}

#[tokio::test]
async fn what_is_not_there_is_denied_like_what_is_not_allowed() {
    let world = World::new();
    for (user, repository) in [("ada", "nobody/x"), ("ada", "tools/x"), ("eve", "acme/db"), ("nobody", "acme/db")] {
        let answer = ask(&world, user, repository, None, &Verb::ALL);
        assert!(answer.verdicts().all(|(_, verdict)| verdict == Verdict::Denied), "{user} {repository}");
    }
}
