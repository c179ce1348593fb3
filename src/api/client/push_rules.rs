//! Push notifications: reading the rules.

use hearth_core::push_rules;
use ruma::UserId;
use ruma::api::client::push::{
    PushRule, get_pushrule, get_pushrule_actions, get_pushrule_enabled, get_pushrules_all,
    get_pushrules_global_scope,
};
use ruma::push::RuleKind;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::reply::Json;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(all).slash_optional(),
        route(global).slash_optional(),
        route(rule),
        route(actions),
        route(enabled),
    ]
}

/// `GET /_matrix/client/v3/pushrules/`
async fn all(_: App, Ruma { caller, .. }: Ruma<get_pushrules_all::v3::Request>) -> Result<Json> {
    Ok(Json::new(&push_rules::content(&caller.user_id)))
}

/// `GET /_matrix/client/v3/pushrules/global/`
async fn global(_: App, Ruma { caller, .. }: Ruma<get_pushrules_global_scope::v3::Request>) -> Result<Json> {
    Ok(Json::new(&push_rules::client_json(&push_rules::defaults(&caller.user_id))))
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}`
async fn rule(
    _: App,
    Ruma { request, caller }: Ruma<get_pushrule::v3::Request>,
) -> Result<get_pushrule::v3::Response> {
    let rule = find(&caller.user_id, request.kind, &request.rule_id)?;
    Ok(get_pushrule::v3::Response { rule })
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions`
async fn actions(
    _: App,
    Ruma { request, caller }: Ruma<get_pushrule_actions::v3::Request>,
) -> Result<get_pushrule_actions::v3::Response> {
    let rule = find(&caller.user_id, request.kind, &request.rule_id)?;
    Ok(get_pushrule_actions::v3::Response { actions: rule.actions })
}

/// `GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled`
async fn enabled(
    _: App,
    Ruma { request, caller }: Ruma<get_pushrule_enabled::v3::Request>,
) -> Result<get_pushrule_enabled::v3::Response> {
    let rule = find(&caller.user_id, request.kind, &request.rule_id)?;
    Ok(get_pushrule_enabled::v3::Response { enabled: rule.enabled })
}

fn find(user_id: &UserId, kind: RuleKind, rule_id: &str) -> Result<PushRule> {
    let rules = push_rules::defaults(user_id);
    rules.get(kind, rule_id).map(PushRule::from).ok_or_else(|| Error::not_found("There is no such rule."))
}
