//! What sources say of who their persons are elsewhere and what is not so, as problems.

use crate::{
    questions::{apart::Apart, links::LinkStatement, problems::Flaw},
    roster::Roster,
};

impl Roster {
    /// Why a person is not whom its source says it to be, where somebody should know.
    pub(crate) fn link_not_made(&self, ix: u32) -> Option<Flaw> {
        let others = self.facts.same_as.get(&ix)?;
        let space = self.facts.persons.names.space(ix);
        let source = self.source_text(space);
        let two_ways = |other: u32| {
            let (one, other) = (self.person_key(ix), self.person_key(other));
            format!(
                "if they are one: `rollcall users link {one} {other}`; if they are two: `rollcall users unlink {one} {other}`"
            )
        };
        let (other, why, remedy) = others.iter().find_map(|other| match self.link_statement(ix, *other) {
            LinkStatement::Done if self.facts.is_live(ix) && self.is_missing(*other) => {
                let of = self.source_text(self.facts.persons.names.space(*other));
                Some((
                    *other,
                    format!("source {of} states no such person"),
                    format!("have source {source} state the right id of {of}, or none; it follows by itself once {of} states that person"),
                ))
            }
            LinkStatement::Done => None,
            // It was somebody's decision.
            LinkStatement::Apart(Apart::Parted(parting)) if parting.is_of(ix, *other) => None,
            LinkStatement::Apart(Apart::Several([one, is])) if one == ix => Some((
                *other,
                format!("{} of source {source} is that user already", self.person_key(is)),
                format!("have source {source} say it of one; {}", two_ways(*other)),
            )),
            LinkStatement::Apart(apart) => Some((
                *other,
                format!("{}, and who is one of them is not the other by a rule", self.apart_text(&apart)),
                two_ways(*other),
            )),
            LinkStatement::Waits(one) => Some((
                *other,
                format!("{}, so somebody looks first", self.was_said_text(one)),
                two_ways(*other),
            )),
            LinkStatement::Open if self.is_confirmed(ix, *other) => None,
            LinkStatement::Open => Some((
                *other,
                format!("nobody confirmed yet that source {source} may say so"),
                format!("look at what it would link with `rollcall users link --rule stated --source {source}`, and confirm it once"),
            )),
            LinkStatement::Contradicted => Some((
                *other,
                format!("source {source} says so of several people"),
                format!("have source {source} say it of one, or decide it of each; {}", two_ways(*other)),
            )),
        })?;
        let row = self.facts.persons.get(ix)?;
        Some(Flaw {
            said_by: self.cause(space, format!("person/{}", self.facts.persons.id(ix)), &row.register),
            said: format!("person {} is {}", self.facts.persons.id(ix), self.person_key(other)),
            why,
            remedy,
        })
    }

    /// That the same is or was said of another, in words.
    pub(crate) fn was_said_text(&self, one: u32) -> String {
        let source = self.source_text(self.facts.persons.names.space(one));
        format!("{} of source {source} is that user, or is or was said to be", self.person_key(one))
    }

    /// Whether a person is not there, of a source that could still state it.
    fn is_missing(&self, person: u32) -> bool {
        let stands = self.facts.persons.get(person).is_some_and(|row| row.register.stands());
        !stands && !self.facts.retired.contains_key(&self.facts.persons.names.space(person))
    }
}
