//! Which state of a room a client wants.

use serde::{Deserialize, Serialize};

pub(super) const MEMBER: &str = "m.room.member";

/// Which state is wanted: what any of its rules asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wanted(Vec<Rule>);

/// What one list or subscription asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
    pub(super) lazy_members: bool,
}

/// Some pairs of type and state key. What is left out matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Pattern {
    pub(super) event_type: Option<String>,
    pub(super) state_key: Option<String>,
    /// Members are not meant, although the type is left out.
    pub(super) but_members: bool,
}

impl Pattern {
    fn matches(&self, event_type: &str, state_key: &str) -> bool {
        !(self.but_members && event_type == MEMBER)
            && self.event_type.as_deref().is_none_or(|wanted| wanted == event_type)
            && self.state_key.as_deref().is_none_or(|wanted| wanted == state_key)
    }

    /// Whether it matches every member event.
    fn matches_members(&self) -> bool {
        !self.but_members
            && self.state_key.is_none()
            && self.event_type.as_deref().is_none_or(|event_type| event_type == MEMBER)
    }
}

impl Rule {
    fn matches(&self, event_type: &str, state_key: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|one| one.matches(event_type, state_key));
        any(&self.include) && !any(&self.exclude)
    }

    /// Whether it wants every member, so that there is nothing to be lazy about.
    fn wants_members(&self) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(Pattern::matches_members);
        any(&self.include) && !any(&self.exclude)
    }
}

impl Wanted {
    pub(super) fn of(rule: Rule) -> Self {
        Self(vec![rule])
    }

    /// Whether a piece of state is wanted for itself; members may be wanted beside the timeline too.
    #[must_use]
    pub fn matches(&self, event_type: &str, state_key: &str) -> bool {
        self.0.iter().any(|rule| rule.matches(event_type, state_key))
    }

    /// Whether members are wanted as the timeline speaks of them.
    #[must_use]
    pub fn lazy_members(&self) -> bool {
        self.0.iter().any(|rule| rule.lazy_members) && !self.0.iter().any(Rule::wants_members)
    }

    /// The pairs of type and state key that may be wanted; none where that takes a look at all of the state.
    #[must_use]
    pub fn pairs(&self) -> Option<Vec<(&str, &str)>> {
        let patterns = self.0.iter().flat_map(|rule| &rule.include);
        patterns.map(|one| Some((one.event_type.as_deref()?, one.state_key.as_deref()?))).collect()
    }

    /// Wants what another wants too.
    pub fn join(&mut self, other: &Self) {
        for rule in &other.0 {
            if let Err(place) = self.0.binary_search(rule) {
                self.0.insert(place, rule.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(event_type: Option<&str>, state_key: Option<&str>) -> Pattern {
        Pattern {
            event_type: event_type.map(str::to_owned),
            state_key: state_key.map(str::to_owned),
            but_members: false,
        }
    }

    #[test]
    fn what_is_excluded_by_one_rule_may_be_wanted_by_another() {
        let all_but_names = Rule {
            include: vec![pattern(None, None)],
            exclude: vec![pattern(Some("m.room.name"), None)],
            lazy_members: false,
        };
        let mut wanted = Wanted::of(all_but_names);
        assert!(wanted.matches("m.room.topic", "") && !wanted.matches("m.room.name", ""));
        assert_eq!(wanted.pairs(), None);
        let names = Rule { include: vec![pattern(Some("m.room.name"), Some(""))], ..Rule::default() };
        wanted.join(&Wanted::of(names.clone()));
        assert!(wanted.matches("m.room.name", ""));
        assert_eq!(Wanted::of(names).pairs(), Some(vec![("m.room.name", "")]));
    }

    #[test]
    fn whoever_wants_all_members_is_not_lazy() {
        let lazy = Rule { lazy_members: true, ..Rule::default() };
        let mut wanted = Wanted::of(lazy);
        assert!(wanted.lazy_members());
        wanted.join(&Wanted::of(Rule { include: vec![pattern(Some(MEMBER), None)], ..Rule::default() }));
        assert!(!wanted.lazy_members());
    }
}
