//! Arguments that nobody should give, mixed with those that everybody gives.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::cell::RefCell;
use std::fmt::Debug;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Extents that awkward code trips over: 1, primes, and one past a power of two.
pub fn extent() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => Just(1usize), 6 => Just(2), 6 => Just(3), 4 => Just(4), 3 => Just(5), 2 => Just(7), 2 => Just(8), 1 => Just(13), 1 => Just(65),
    ]
}

/// A count, mostly small; else at the edges of what 32 and 64 bits count.
pub fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 0..6usize,
        4 => 6..70usize,
        1 => Just(65_536usize),
        1 => Just((1 << 31) - 1),
        1 => Just(1 << 31),
        1 => Just(u32::MAX as usize),
        1 => Just(1 << 32),
        1 => Just(1 << 40),
        1 => Just(usize::MAX / 4 + 1),
        1 => Just(isize::MAX as usize),
        1 => Just(usize::MAX),
    ]
}

/// An axis, mostly one that there is.
pub fn axis() -> impl Strategy<Value = isize> {
    prop_oneof![
        20 => -3..4isize,
        3 => -7..8isize,
        1 => Just(isize::MIN),
        1 => Just(isize::MAX),
        1 => Just(i32::MIN as isize),
    ]
}

/// A setting, mostly one that makes sense.
pub fn number() -> impl Strategy<Value = f64> {
    let odd = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-50,
        -1e-50,
        1e50,
        -1e50,
        1e-310,
        3e38,
        f64::MAX,
        f64::MIN,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e-7,
        65_536.0,
        0.999_999_999_9,
        2.0,
        1e-45,
    ];
    prop_oneof![3 => 0.0..1.0f64, 1 => -10.0..10.0f64, 4 => proptest::sample::select(odd.to_vec())]
}

thread_local! {
    /// What the panic that is being caught said, and where.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs something, and tells where and why it panicked, where it did, instead of printing that.
pub fn caught<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if CATCHING.with_borrow(|catching| *catching) {
                SAID.with_borrow_mut(|said| *said = Some(panic.to_string()));
            } else {
                usual(panic);
            }
        }));
    });
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(false);
    result.map_err(|_| SAID.take().unwrap_or_else(|| "a panic on another thread".to_owned()))
}

/// No call takes this long, on the slowest machine.
const LONG: Duration = Duration::from_secs(10);
/// What takes this long never ends.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A call that is watched: where it does not end, the process does, and tells which call that was.
struct Watched {
    since: Instant,
    ended: Option<Sender<()>>,
    guard: Option<JoinHandle<()>>,
}

impl Watched {
    fn new(what: String) -> Self {
        let (ended, waits) = channel();
        let guard = std::thread::spawn(move || {
            if waits.recv_timeout(FOR_EVER) == Err(RecvTimeoutError::Timeout) {
                let _ = writeln!(std::io::stderr(), "after {FOR_EVER:?} there is no end of: {what}");
                std::process::abort();
            }
        });
        Self { since: Instant::now(), ended: Some(ended), guard: Some(guard) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended.take();
        if let Some(guard) = self.guard.take() {
            let _ = guard.join();
        }
    }
}

/// How many cases are drawn of each kind: `RETROGRAD_TEST_CASES`, or this.
pub fn cases(default: u32) -> u32 {
    std::env::var("RETROGRAD_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Calls a check with many arguments: what fails, with the simplest arguments that do.
pub fn failures<S: Strategy>(
    name: &str,
    arguments: &S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) -> Option<String>
where
    S::Value: Debug,
{
    let check = |with: S::Value| {
        let watched = Watched::new(format!("{name} with {with:?}"));
        let checked = caught(|| check(with)).unwrap_or_else(|panic| Err(TestCaseError::fail(panic)));
        let took = watched.since.elapsed();
        if took > LONG {
            return Err(TestCaseError::fail(format!("it took {took:?}")));
        }
        checked
    };
    let config = Config { cases: cases(64), failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    match TestRunner::new(config).run(arguments, check) {
        Ok(()) => None,
        Err(TestError::Fail(reason, with)) => Some(format!("{name}: {}\n  with {with:?}", reason.message())),
        Err(TestError::Abort(reason)) => Some(format!("{name}: given up: {}", reason.message())),
    }
}
