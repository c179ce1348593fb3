//! Sliding-sync views of a stream: windows whose responses are pushed.

use std::collections::BTreeMap;

use hearth_services::accounts::Caller;
use hearth_services::sync::Window;
use ruma::api::error::ErrorKind;
use serde_json::{Map, Value};

use crate::app::App;
use crate::client::sliding_sync::pushed;
use crate::error::{Error, Result};
use crate::extract::CallerExt;

/// Views of one stream: clients of sliding sync have two connections.
const MAX_VIEWS: usize = 4;

/// The views of a stream, by their connections' names.
#[derive(Default)]
pub(super) struct Views(BTreeMap<String, View>);

struct View {
    window: Window,
    /// There may be something to tell.
    due: bool,
    /// The client waits for an answer, whatever it is.
    asked: bool,
}

impl Views {
    /// Something may have changed.
    pub(super) fn are_due(&mut self) {
        for view in self.0.values_mut() {
            view.due = true;
        }
    }

    /// Looks at what a client asks for from now on: anew, from a position, or on from where the view is.
    pub(super) async fn open(
        &mut self,
        app: &App,
        caller: &Caller,
        params: &Map<String, Value>,
    ) -> Result<()> {
        let request = pushed(&Value::Object(params.clone()).to_string(), app, caller)?;
        let conn_id = request.asked.conn_id.clone();
        if let Some(view) = self.0.get_mut(&conn_id).filter(|_| request.pos.is_none()) {
            view.window.ask(request.asked);
            (view.due, view.asked) = (true, true);
            return Ok(());
        }
        if self.0.len() >= MAX_VIEWS && !self.0.contains_key(&conn_id) {
            let message = format!("A stream has at most {MAX_VIEWS} views.");
            return Err(Error::bad_request(ErrorKind::InvalidParam, message));
        }
        let window = app.sync.window(caller.viewer(), request).await?;
        self.0.insert(conn_id, View { window, due: true, asked: true });
        Ok(())
    }

    /// Looks no longer.
    pub(super) fn close(&mut self, conn_id: &str) -> Result<()> {
        let closed = self.0.remove(conn_id);
        let none = || Error::bad_request(ErrorKind::InvalidParam, "There is no such view.");
        closed.map(drop).ok_or_else(none)
    }

    /// What is to be told next, if there is anything: a notice.
    pub(super) async fn next(&mut self) -> Result<Option<String>> {
        for (conn_id, view) in self.0.iter_mut().filter(|(_, view)| view.due) {
            // It stays due: what one response has no room for comes with the next.
            if let Some(told) = view.window.next(view.asked).await? {
                view.asked = false;
                return Ok(Some(notice(conn_id, &told)));
            }
            view.due = false;
        }
        Ok(None)
    }
}

/// A response is an object that has a position.
fn notice(conn_id: &str, response: &str) -> String {
    let conn_id = Value::from(conn_id);
    let rest = response.strip_prefix('{').unwrap_or("}");
    format!(r#"{{"method":"view","params":{{"conn_id":{conn_id},{rest}}}"#)
}
