//! Pages on which people pass stages of user-interactive authentication that their client does not know.

use hearth_services::accounts::uia::{Stage, StageFailure};
use ruma::api::auth_scheme::NoAccessToken;
use ruma::api::client::uiaa::get_uiaa_fallback_page::{self, v3::Request as ShowPage};
use ruma::api::error::{DeserializationError, Error as MatrixError};
use ruma::api::{IncomingRequest, Metadata};
use serde::Deserialize;
use serde::de::value::{Error as PathError, SeqDeserializer};
use serde_json::json;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::rate_limit::Family;
use crate::reply::Page;
use crate::route::{Route, route};

/// A session and a token.
const MAX_BODY: usize = 4 * 1024;

/// What the page calls when its stage is passed.
///
/// > … `window.onAuthDone()` … or `window.opener.postMessage("authDone", "*")`.
const DONE: &str = "<p>Done. You can close this window.</p><script>\
    if (window.onAuthDone) { window.onAuthDone(); }\
    else if (window.opener && window.opener.postMessage) { window.opener.postMessage('authDone', '*'); }\
    </script>";

/// A form sent back.
struct SubmitPage {
    auth_type: String,
    form: Form,
}

#[derive(Deserialize)]
struct Form {
    session: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

impl Metadata for SubmitPage {
    const METHOD: http::Method = http::Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = NoAccessToken;
    type PathBuilder = <ShowPage as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = ShowPage::PATH_BUILDER;
}

impl IncomingRequest for SubmitPage {
    type EndpointError = MatrixError;
    type OutgoingResponse = get_uiaa_fallback_page::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let path = SeqDeserializer::<_, PathError>::new(arguments.iter().copied());
        let (auth_type,) = Deserialize::deserialize(path)?;
        let form = serde_html_form::from_str(str::from_utf8(request.body())?)?;
        Ok(Self { auth_type, form })
    }
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(show).limited(Family::RegistrationLookup),
        route(submit).limited(Family::RegistrationLookup).any_body().body_limit(MAX_BODY),
    ]
}

/// `GET /_matrix/client/v3/auth/{authType}/fallback/web`
async fn show(app: App, Ruma { request, .. }: Ruma<ShowPage>) -> Result<Page> {
    let stage = stage(request.auth_type.as_str())?;
    if !app.uia.is_known(&request.session).await? {
        return Err(Error::not_found("This authentication session is not known, or expired."));
    }
    Ok(page(&form(&app, stage, &request.session, "")))
}

/// `POST /_matrix/client/v3/auth/{authType}/fallback/web`, from the page itself.
async fn submit(app: App, Ruma { request, .. }: Ruma<SubmitPage>) -> Result<Page> {
    let stage = stage(&request.auth_type)?;
    let Form { session, token, user, password } = request.form;
    let input = [("token", token), ("user", user), ("password", password)];
    let input = input.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    match app.uia.pass_by_page(&session, stage, input).await? {
        None => Ok(page(DONE)),
        Some(StageFailure::WrongToken) => Ok(page(&form(&app, stage, &session, "This token is not valid."))),
        Some(StageFailure::WrongPassword) => {
            Ok(page(&form(&app, stage, &session, "The user name or the password is wrong.")))
        }
        Some(_) => Ok(page(&form(&app, stage, &session, "Something is missing."))),
    }
}

fn stage(name: &str) -> Result<Stage> {
    Stage::from_name(name).ok_or_else(|| Error::not_found("This stage of authentication is not offered."))
}

fn form(app: &App, stage: Stage, session: &str, problem: &str) -> String {
    let fields = match stage {
        Stage::Dummy => "<p>Continue to your account.</p>".to_owned(),
        Stage::RegistrationToken => "<p><label>Registration token <input name=\"token\" required autofocus>\
                                     </label></p>"
            .to_owned(),
        Stage::Terms => terms(app),
        Stage::Password => {
            "<p><label>User name <input name=\"user\" autocomplete=\"username\" required autofocus>\
                            </label></p><p><label>Password <input name=\"password\" type=\"password\" \
                            autocomplete=\"current-password\" required></label></p>"
                .to_owned()
        }
    };
    let (problem, session) = (escape(problem), escape(session));
    format!(
        "<form method=\"post\"><p role=\"alert\">{problem}</p>{fields}\
         <input type=\"hidden\" name=\"session\" value=\"{session}\"><button>Continue</button></form>"
    )
}

/// The documents to agree to, each in every language it has.
fn terms(app: &App) -> String {
    let registration = app.accounts.policy().current();
    let links: Vec<String> = registration
        .terms
        .values()
        .flat_map(|policy| policy.translations.iter())
        .map(|(language, document)| {
            let (name, url) = (escape(&document.name), escape(&document.url));
            format!(
                "<li><a href=\"{url}\" target=\"_blank\" rel=\"noreferrer\">{name}</a> ({})",
                escape(language)
            )
        })
        .collect();
    format!("<p>By continuing you agree to:</p><ul>{}</ul>", links.concat())
}

fn page(content: &str) -> Page {
    Page(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Authentication</title>\
         <style>body {{ font: 1.1rem sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }}\
         input, button {{ font: inherit; padding: .3rem }} [role=alert] {{ color: #b00 }}</style>\
         </head><body>{content}</body></html>"
    ))
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
