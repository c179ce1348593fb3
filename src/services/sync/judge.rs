//! Which events of a room's past a reader may see.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, Root};
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use ruma::events::TimelineEventType;

use super::engine::Engine;
use super::plan::Plan;
use crate::rooms::viewer::{Past, Viewer};
use crate::rooms::visible::Seen;

impl Engine {
    /// Those of a room's events that a reader may see, by their integers.
    ///
    /// Whoever was in at an event, by the log, sees it; all else is judged by the state at the event.
    pub(super) async fn judge(
        &self,
        viewer: &Viewer,
        plan: &Plan,
        page: &[Arc<StoredEvent>],
    ) -> Result<HashMap<EventNid, Seen>, StoreError> {
        let page = &*self.reader.without_ignored(viewer, page.to_vec()).await?;
        let mut seen = HashMap::with_capacity(page.len());
        for event in page.iter().filter(|event| !is_doubtful(plan, event)) {
            if !plan.outsider || is_about(viewer, event) {
                seen.insert(event.nid, Seen::by_member(viewer, Arc::clone(event)));
            }
        }
        let doubtful = doubtful(plan, page);
        if !doubtful.is_empty() {
            let past = Past::new(plan.past(viewer.user));
            let judged = self.reader.seen(viewer, &past, doubtful).await?;
            seen.extend(judged.into_iter().map(|one| (one.event.nid, one)));
        }
        Ok(seen)
    }

    /// Reads what judging events of many rooms takes, for all of them together.
    pub(super) async fn prepare_judging(
        &self,
        viewer: &Viewer,
        doubtful: Vec<Arc<StoredEvent>>,
    ) -> Result<(), StoreError> {
        if !doubtful.is_empty() {
            // What comes of it does not matter: each room has its own past. What was read stays in memory.
            self.reader.seen(viewer, &Past::default(), doubtful).await?;
        }
        Ok(())
    }

    /// What stands at a type and state key in a state.
    pub(super) async fn at(
        &self,
        root: Root,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<EventNid>, StoreError> {
        // Made if need be: that nothing was ever sent under it would have to be asked every time.
        let key = self.reader.interned.state_key(event_type, state_key).await?;
        self.reader.states.get(root, key).await
    }
}

/// Those of a page that must be judged by the state at them.
pub(super) fn doubtful(plan: &Plan, page: &[Arc<StoredEvent>]) -> Vec<Arc<StoredEvent>> {
    page.iter().filter(|event| is_doubtful(plan, event)).cloned().collect()
}

/// Whether the log alone does not tell if the reader was in at an event. What was fetched later stands elsewhere
/// in the log than in the history.
fn is_doubtful(plan: &Plan, event: &StoredEvent) -> bool {
    !plan.outsider && !event.place.is_some_and(|place| place.sub == 0 && plan.is_in(place.anchor))
}

/// Whether an event is the reader's own member event.
fn is_about(viewer: &Viewer, event: &StoredEvent) -> bool {
    *event.pdu.event_type() == TimelineEventType::RoomMember
        && event.pdu.state_key() == Some(viewer.id.as_str())
}
