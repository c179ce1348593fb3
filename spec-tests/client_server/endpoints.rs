//! Which endpoints there are: the list is complete and true.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::endpoints::{self, Endpoint};
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        the_list_names_every_endpoint_of_the_specification_in_order,
        the_status_page_is_made_from_the_list,
        an_endpoint_that_is_done_is_recognised,
        an_endpoint_that_comes_later_answers_404_unrecognized,
        a_wrong_method_on_a_path_that_is_done_answers_405_unrecognized,
    ]
}

async fn the_list_names_every_endpoint_of_the_specification_in_order(_: Hearth) {
    let listed = endpoints::read();
    let mut sorted = listed.clone();
    sorted.sort();
    sorted.dedup_by(|a, b| (&a.path, &a.method) == (&b.path, &b.method));
    assert_eq!(listed, sorted, "the list is sorted by path and method, each once");
    if let Some(specified) = endpoints::specified() {
        let listed: Vec<_> = listed.into_iter().map(|endpoint| (endpoint.path, endpoint.method)).collect();
        assert_eq!(listed, Vec::from_iter(specified));
    }
}

async fn the_status_page_is_made_from_the_list(_: Hearth) {
    let page = fs::read_to_string(endpoints::status_page()).unwrap();
    assert_eq!(page, endpoints::page(&endpoints::read()), "--bless makes both anew");
}

async fn an_endpoint_that_is_done_is_recognised(hearth: Hearth) {
    let mut unrecognised = Vec::new();
    for endpoint in endpoints::read().into_iter().filter(|endpoint| endpoint.done) {
        let (status, errcode) = endpoints::probe(&hearth.user("prober").await, &endpoint).await;
        if errcode == "M_UNRECOGNIZED" || status == 405 || status >= 500 {
            unrecognised.push(format!("{} {}: {status} {errcode}", endpoint.method, endpoint.path));
        }
    }
    assert_eq!(unrecognised, Vec::<String>::new());
}

async fn an_endpoint_that_comes_later_answers_404_unrecognized(hearth: Hearth) {
    let all = endpoints::read();
    let user = hearth.user("prober").await;
    let mut wrong = Vec::new();
    for endpoint in all.iter().filter(|endpoint| !endpoint.done) {
        // Where the path is done with another method, it is the method that is wrong.
        let half_done = all.iter().any(|other| other.done && other.path == endpoint.path);
        let wanted = if half_done { 405 } else { 404 };
        let found = endpoints::probe(&user, endpoint).await;
        if found != (wanted, "M_UNRECOGNIZED".to_owned()) {
            wrong.push(format!("{} {}: {found:?}", endpoint.method, endpoint.path));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "those that are done by now are marked by --bless");
}

async fn a_wrong_method_on_a_path_that_is_done_answers_405_unrecognized(hearth: Hearth) {
    let mut methods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for endpoint in endpoints::read().into_iter().filter(|endpoint| endpoint.done) {
        methods.entry(endpoint.path).or_default().push(endpoint.method);
    }
    let user = hearth.user("prober").await;
    let mut wrong = Vec::new();
    for (path, known) in methods {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if known.iter().any(|known| known == method) {
                continue;
            }
            let endpoint = Endpoint { path: path.clone(), method: method.to_owned(), done: false };
            let found = endpoints::probe(&user, &endpoint).await;
            if found != (405, "M_UNRECOGNIZED".to_owned()) {
                wrong.push(format!("{method} {path}: {found:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
