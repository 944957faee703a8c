//! Asks a source for single subjects: also for whatever it only did not name, before that is removed, and for what is
//! given, before that is recorded. Appends nothing.

use std::{collections::BTreeMap, sync::Arc};

use rollcall_events::{Body, Position};

use super::{Engine, Supervised};
use crate::{
    baseline::RecordedFact,
    connector::{FactSelector, Failure, LookupAnswer},
    reading::change::{Change, ChangeKind, is_effective, without_links},
};

/// How many subjects are looked up singly at most; the rest is left to the next full read.
pub(super) const LOOKED_UP: usize = 1000;

/// What is given and what the source, asked for it, did not confirm: by subject, and why.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    /// The source says otherwise by now.
    pub refused: BTreeMap<String, String>,
    /// Of these the source said nothing.
    pub unanswered: BTreeMap<String, String>,
}

impl Unconfirmed {
    /// Where the source does not answer at all.
    pub fn failed(changes: &[Change], failure: &Failure) -> Self {
        let reason = format!("it could not be asked for by itself: {failure}");
        let unanswered = given(changes).map(|change| (change.subject.clone(), reason.clone()));
        Self { refused: BTreeMap::new(), unanswered: unanswered.collect() }
    }

    /// Takes out of changes what is unconfirmed.
    pub fn take_from(&self, changes: &mut Vec<Change>) {
        let is_in = |of: &BTreeMap<String, String>, change: &Change| of.contains_key(&change.subject);
        changes.retain(|change| !is_in(&self.refused, change) && !is_in(&self.unanswered, change));
    }
}

/// What gives somebody something. Whoever comes for the first time is nobody else and has nothing.
fn given(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let is_member = |change: &Change| matches!(change.body, Body::GroupMemberAdded(_));
    let given = changes.iter().filter(|change| change.verb() != ChangeKind::Remove || is_effective(&change.body));
    given.filter(move |change| is_member(change) || change.previous > Position(0))
}

impl Engine {
    /// Asks for single subjects, in a task of its own: what panics there costs the answers and nothing else.
    async fn ask(&self, subjects: Vec<Body>) -> Result<Vec<LookupAnswer>, Failure> {
        let (pull, now) = (Arc::clone(&self.pull), self.deps.clock.now());
        let asking = Supervised(tokio::spawn(async move { pull.look_up(&subjects, now).await }));
        asking.await.unwrap_or_else(|_| Err(Failure::Partial("the connector failed: a defect of Rollcall".to_owned())))
    }

    /// Looks subjects up singly. Whatever cannot be said now is left as it is.
    pub(super) async fn look_up(
        &self,
        known: BTreeMap<String, RecordedFact>,
        unsaid: &mut BTreeMap<FactSelector, String>,
    ) -> Vec<Change> {
        let asked = known.into_iter().filter_map(|(subject, known)| known.body().map(|body| (subject, known, body)));
        let mut asked: Vec<(String, RecordedFact, Body)> = asked.collect();
        for (subject, ..) in asked.drain(LOOKED_UP.min(asked.len())..) {
            let reason = format!("more than {LOOKED_UP} changed meanwhile; the next full read compares it");
            unsaid.insert(FactSelector::Subject(subject), reason);
        }
        if asked.is_empty() {
            return Vec::new();
        }
        let bodies: Vec<Body> = asked.iter().map(|(.., body)| body.clone()).collect();
        let answers = self.ask(bodies).await;
        let answers = answers.unwrap_or_else(|failure| vec![LookupAnswer::Unknown(failure.to_string()); asked.len()]);
        let mut changes = Vec::new();
        for ((subject, known, body), answer) in asked.into_iter().zip(answers) {
            let was = known.is_present().then_some(body);
            match answer {
                LookupAnswer::Found(stated) if stated.body.subject() == subject && !stated.body.is_removal() => {
                    if !known.matches(&stated.body, &stated.body.data()) {
                        changes.push(Change { subject, body: stated.body, previous: known.position, was });
                    }
                }
                LookupAnswer::Found(_) => {
                    let reason = "the connector answered for another subject: a defect of Rollcall".to_owned();
                    unsaid.insert(FactSelector::Subject(subject), reason);
                }
                LookupAnswer::Gone => {
                    if let Some(end) = was.as_ref().and_then(Body::removal) {
                        changes.push(Change { subject, body: end, previous: known.position, was });
                    }
                }
                LookupAnswer::Unknown(reason) | LookupAnswer::Unanswered(reason) => {
                    drop(unsaid.insert(FactSelector::Subject(subject), reason))
                }
                LookupAnswer::Unsupported => {
                    let reason = "this source is only read as a whole".to_owned();
                    unsaid.insert(FactSelector::Subject(subject), reason);
                }
            }
        }
        changes
    }

    /// What would be removed and is there when it is asked for by its id. A read is not of one moment and a follower is
    /// late: who moves meanwhile may be seen nowhere, and a name may mean somebody else by now.
    ///
    /// # Errors
    /// The source does not answer, so nothing is known.
    pub(super) async fn find_still_present(
        &self,
        changes: &[Change],
    ) -> Result<BTreeMap<FactSelector, String>, Failure> {
        let asked: Vec<Body> = removed(changes).filter_map(|change| change.was.clone()).collect();
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answers = self.ask(asked.clone()).await?;
        let protected = asked.into_iter().zip(answers).filter_map(|(was, answer)| {
            let reason = match answer {
                LookupAnswer::Found(_) => "it was not named, and it is there when asked for by itself".to_owned(),
                LookupAnswer::Unanswered(why) => {
                    format!("it was not named, and could not be asked for by itself: {why}")
                }
                // What cannot be found by itself either is what the read said it is: not there.
                LookupAnswer::Gone | LookupAnswer::Unknown(_) | LookupAnswer::Unsupported => return None,
            };
            Some((FactSelector::Subject(was.subject()), reason))
        });
        Ok(protected.collect())
    }

    /// What is given and what the source does not say when it is asked by id. What is read or heard is not of one moment: a
    /// list has names, and a name may mean somebody else by now; or a newer read has ended what an older change gives back.
    ///
    /// # Errors
    /// The source does not answer, so nothing is known.
    /// Where `links_wait`, whatever the source says of them is none of it.
    pub(super) async fn find_unconfirmed(&self, changes: &[Change], links_wait: bool) -> Result<Unconfirmed, Failure> {
        let mut unconfirmed = Unconfirmed::default();
        let given: Vec<&Change> = given(changes).collect();
        if given.is_empty() {
            return Ok(unconfirmed);
        }
        let answers = self.ask(given.iter().map(|change| change.body.clone()).collect()).await?;
        for (change, answer) in given.into_iter().zip(answers) {
            let (into, reason) = match answer {
                LookupAnswer::Found(stated) if stated.body == change.body => continue,
                LookupAnswer::Found(stated)
                    if links_wait && without_links(&stated.body) == without_links(&change.body) =>
                {
                    continue;
                }
                LookupAnswer::Unsupported => continue,
                LookupAnswer::Found(_) | LookupAnswer::Gone | LookupAnswer::Unknown(_) => {
                    (&mut unconfirmed.refused, "it is otherwise when asked for by itself".to_owned())
                }
                LookupAnswer::Unanswered(why) => {
                    (&mut unconfirmed.unanswered, format!("it could not be asked for by itself: {why}"))
                }
            };
            into.insert(change.subject.clone(), reason);
        }
        Ok(unconfirmed)
    }
}

/// Everything that would be removed, where the source could not be asked whether it is there.
pub(super) fn not_asked(changes: &[Change], failure: &Failure) -> BTreeMap<FactSelector, String> {
    let reason = format!("it was not named, and could not be asked for by itself: {failure}");
    removed(changes).map(|change| (FactSelector::Subject(change.subject.clone()), reason.clone())).collect()
}

fn removed(changes: &[Change]) -> impl Iterator<Item = &Change> {
    changes.iter().filter(|change| change.body.is_removal())
}
