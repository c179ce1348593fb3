//! Runs the tests against one shared server, some at a time, and reports.

use std::collections::VecDeque;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, panic};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoints;
use super::hearth::Hearth;
use super::options::{HELP, Options, Task};
use super::proxy::Proxy;
use super::record::Record;
use super::schema;
use super::server::{Refusal, Server, Settings};
use super::{bucket, cluster};

/// A test that takes longer hangs, unless it says that it needs more.
pub const DEADLINE: Duration = Duration::from_mins(5);

/// A test: its name and how to run it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub name: &'static str,
    /// Whether it starts servers itself, and so says nothing about one that is there already.
    pub own_server: bool,
    /// How long it may take.
    pub deadline: Duration,
    pub run: fn(Hearth) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The tests of a module, by the names of their functions. One that is left out of its list is dead code, and
/// dead code does not pass the lints.
macro_rules! tests {
    (own_server: $($name:ident),* $(,)?) => { $crate::harness::tests!(@list true: $($name),*) };
    ($($name:ident),* $(,)?) => { $crate::harness::tests!(@list false: $($name),*) };
    (@list $own:literal: $($name:ident),*) => {
        vec![$($crate::harness::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            own_server: $own,
            deadline: $crate::harness::runner::DEADLINE,
            run: |hearth| Box::pin($name(hearth)),
        }),*]
    };
}
pub(crate) use tests;

tokio::task_local! {
    /// Where the panics of the running test go.
    static PANICS: Arc<Mutex<Vec<String>>>;
}

/// Runs what the command line asks for.
pub fn main(tests: Vec<Test>) -> ExitCode {
    let options = Options::parse(env::args().skip(1));
    if options.task == Task::Help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let all = tests.len();
    let mut tests: Vec<Test> = tests.into_iter().filter(|test| options.select(short(test))).collect();
    if options.task == Task::List {
        for test in &tests {
            println!("{}: test", short(test));
        }
        return ExitCode::SUCCESS;
    }
    let external = env::var("HEARTH_SPEC_BASE_URL").ok();
    if external.is_some() {
        tests.retain(|test| !test.own_server);
    }
    let left_out = all - tests.len();
    catch_panics();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(tests, left_out, &options, external))
}

async fn run(tests: Vec<Test>, left_out: usize, options: &Options, external: Option<String>) -> ExitCode {
    let started = Instant::now();
    if tests.is_empty() && options.task == Task::Run {
        report(0, 0, left_out, started);
        return ExitCode::SUCCESS;
    }
    let needed = options.task == Task::Bless || tests.iter().any(|test| !test.own_server);
    if bucket::is_asked_for()
        && let Err(error) = bucket::start().await
    {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    let subject = tokio::select! {
        subject = Subject::start(external, needed) => subject,
        () = interrupted() => {
            stop().await;
            return ExitCode::FAILURE;
        }
    };
    let subject = match subject {
        Ok(subject) => subject,
        Err(refusal) => {
            println!("the server did not start: {refusal}");
            stop().await;
            return ExitCode::FAILURE;
        }
    };
    let code = tokio::select! {
        code = run_all(tests, left_out, options, &subject) => code,
        () = interrupted() => ExitCode::FAILURE,
    };
    subject.stop().await;
    stop().await;
    code
}

/// Stops what the servers stood on.
async fn stop() {
    cluster::stop().await;
    bucket::stop().await;
}

async fn run_all(tests: Vec<Test>, left_out: usize, options: &Options, subject: &Subject) -> ExitCode {
    if options.task == Task::Bless {
        endpoints::bless(&Hearth::at(&subject.base, Arc::default())).await;
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    println!("\nrunning {} tests", tests.len());
    let (passed, failures) = run_tests(tests, options.threads, &subject.base).await;
    for (name, text) in &failures {
        println!("\n---- {name} ----\n{text}");
    }
    let errors = subject.errors();
    if !errors.is_empty() {
        println!("\n---- the server logged errors ----");
        for line in errors.iter().take(20) {
            println!("  {line}");
        }
    }
    println!("\n{}", schema::summary());
    let failed = failures.len() + usize::from(!errors.is_empty());
    report(passed, failed, left_out, started);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The last line: as libtest's, so that whoever adds up results need not tell them apart.
fn report(passed: usize, failed: usize, left_out: usize, started: Instant) {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out; \
         finished in {seconds:.2}s\n"
    );
}

async fn run_tests(tests: Vec<Test>, threads: usize, base: &str) -> (usize, Vec<(&'static str, String)>) {
    let mut waiting: VecDeque<Test> = tests.into();
    let mut running = JoinSet::new();
    let (mut passed, mut failures) = (0, Vec::new());
    loop {
        while running.len() < threads
            && let Some(test) = waiting.pop_front()
        {
            running.spawn(run_test(test, base.to_owned()));
        }
        let Some(done) = running.join_next().await else { return (passed, failures) };
        let (name, took, outcome) = done.expect("a test's panic is caught");
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok ({:.2}s)", took.as_secs_f64());
            }
            Err(text) => {
                println!("test {name} ... FAILED");
                failures.push((name, text));
            }
        }
    }
}

async fn run_test(test: Test, base: String) -> (&'static str, Duration, Result<(), String>) {
    let record = Arc::new(Record::default());
    let panics = Arc::new(Mutex::new(Vec::new()));
    let started = Instant::now();
    let story = (test.run)(Hearth::at(&base, Arc::clone(&record)));
    let mut task = tokio::spawn(PANICS.scope(Arc::clone(&panics), story));
    let ended = timeout(test.deadline, &mut task).await;
    let took = started.elapsed();
    let mut wrong = panics.lock().unwrap().clone();
    match ended {
        Err(_) => {
            task.abort();
            wrong.push(format!("it still ran after {} seconds", test.deadline.as_secs()));
        }
        Ok(Err(error)) if wrong.is_empty() => wrong.push(error.to_string()),
        Ok(_) => {}
    }
    wrong.extend(record.violations());
    if wrong.is_empty() {
        return (short(&test), took, Ok(()));
    }
    (short(&test), took, Err(format!("{}\n  its last requests:\n{}", wrong.join("\n"), record.tail())))
}

/// The name without the program's own.
fn short(test: &Test) -> &'static str {
    test.name.split_once("::").map_or(test.name, |(_, rest)| rest)
}

/// Gives every panic to the test it happened in; others go to the terminal.
fn catch_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("a panic without words");
        let line = format!("{place}: {message}");
        if PANICS.try_with(|panics| panics.lock().unwrap().push(line)).is_err() {
            usual(info);
        }
    }));
}

async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The server that most tests share: one that is there already, our own, or two replicas behind a proxy.
struct Subject {
    base: String,
    servers: Vec<Server>,
    _proxy: Option<Proxy>,
}

impl Subject {
    async fn start(external: Option<String>, needed: bool) -> Result<Self, Refusal> {
        if external.is_some() || !needed {
            return Ok(Self { base: external.unwrap_or_default(), servers: Vec::new(), _proxy: None });
        }
        let first = Server::try_start(Settings::new()).await?;
        if env::var_os("HEARTH_SPEC_REPLICAS").is_none() {
            return Ok(Self { base: first.base().to_owned(), servers: vec![first], _proxy: None });
        }
        let second = first.start_replica().await?;
        let proxy = Proxy::start(vec![first.base().to_owned(), second.base().to_owned()]).await;
        let base = proxy.base().to_owned();
        Ok(Self { base, servers: vec![second, first], _proxy: Some(proxy) })
    }

    fn errors(&self) -> Vec<String> {
        self.servers.iter().flat_map(Server::errors).collect()
    }

    async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}
