//! Does a session live and end as it should? The service as a whole, with a store on disk.

use std::net::IpAddr;
use std::sync::Arc;

use super::account::{AccountChange, NewAccount};
use super::algorithm::Algorithm;
use super::key::SigningKey;
use super::key_ring::KeyRing;
use super::role::{Permission, Role};
use super::secret::Password;
use super::session::TokenForm;
use super::token::TokenError;
use super::{Auth, AuthError, Client, KeyOrigin, Keys, Login, Settings, Tokens};
use crate::store::{Entities, KeyFile};

const NOW: u64 = 1_800_000_000;

struct Bench {
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
    ring: KeyRing,
    auth: Arc<Auth>,
    admin: Password,
}

fn open(dir: &tempfile::TempDir, ring: &KeyRing, now_s: u64) -> Arc<Auth> {
    let origin = KeyOrigin::File(KeyFile::at(dir.path().join("keys.json")));
    let keys = Keys { ring: ring.clone(), origin };
    let store = Entities::open(dir.path().join("e.redb")).unwrap();
    Arc::new(Auth::open(&Arc::new(store), &keys, Settings::default(), now_s).unwrap())
}

fn password(text: &str) -> Password {
    serde_json::from_value(text.into()).unwrap()
}

fn client(last: u8) -> Client {
    Client { address: IpAddr::from([192, 0, 2, last]), user_agent: "curl/8\u{7}".to_owned() }
}

const GOOD: &str = "correct horse battery";

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::of(SigningKey::generate(Algorithm::MlDsa44).unwrap());
        let auth = open(&dir, &ring, NOW);
        let first = auth.first_admin(NOW).unwrap().unwrap();
        assert_eq!(first.username, "admin");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, dir, ring, auth, admin: first.secret }
    }

    /// As after a restart.
    fn restart(&mut self, now_s: u64) {
        // The file is one process's at a time.
        let closed = Self::new();
        let auth = std::mem::replace(&mut self.auth, closed.auth);
        drop(Arc::into_inner(auth).unwrap());
        self.auth = open(&self.dir, &self.ring, now_s);
    }

    fn make(&self, name: &str, role: Role) -> String {
        let new = NewAccount { username: name.to_owned(), role, password: Some(password(GOOD)) };
        self.runtime.block_on(self.auth.make_account(new, NOW)).unwrap().account.user_id
    }

    fn login(&self, name: &str, secret: &str, from: u8, now_s: u64) -> Result<Tokens, AuthError> {
        let login = Login { username: name.to_owned(), password: password(secret), token_form: None };
        self.runtime.block_on(self.auth.login(login, client(from), now_s))
    }

    fn refresh(&self, tokens: &Tokens, now_s: u64) -> Result<Tokens, AuthError> {
        self.runtime.block_on(self.auth.refresh(tokens.refresh_token.as_deref().unwrap(), now_s))
    }
}

#[test]
fn the_first_admin_changes_its_secret_before_anything_else() {
    let mut bench = Bench::new();
    assert!(bench.auth.first_admin(NOW).unwrap().is_none(), "made once");
    let secret = bench.admin.to_string();
    let tokens = bench.login("Admin", &secret, 1, NOW).unwrap();
    let identity = bench.auth.identify(&tokens.access_token, NOW).unwrap();
    assert!(matches!(identity.may(Permission::TelemetryRead), Err(AuthError::PasswordMustChange)));
    assert!(identity.may(Permission::OwnAccount).is_ok());
    let other = bench.login("admin", &secret, 2, NOW).unwrap();
    let change = |old: &str, new: &str| {
        let both = (password(old), password(new));
        bench.runtime.block_on(bench.auth.change_password(&identity, both, &client(1), NOW))
    };
    assert!(matches!(change(&secret, "short"), Err(AuthError::Password(_))));
    assert!(matches!(change("not the old one", GOOD), Err(AuthError::Credentials)));
    change(&secret, GOOD).unwrap();
    let identity = bench.auth.identify(&tokens.access_token, NOW).unwrap();
    assert!(identity.may(Permission::AccountsWrite).is_ok());
    assert!(matches!(bench.auth.identify(&other.access_token, NOW), Err(AuthError::SessionEnded)));
    assert!(matches!(bench.login("admin", &secret, 3, NOW), Err(AuthError::Credentials)));
    bench.restart(NOW);
    assert!(bench.login("admin", GOOD, 4, NOW).is_ok());
    assert!(bench.auth.identify(&tokens.access_token, NOW).is_ok(), "sessions outlive a restart");
}

#[test]
fn a_logout_outlives_a_restart() {
    let mut bench = Bench::new();
    bench.make("ada", Role::Analyst);
    let tokens = bench.login("ada", GOOD, 1, NOW).unwrap();
    let stays = bench.login("ada", GOOD, 1, NOW).unwrap();
    let identity = bench.auth.identify(&tokens.access_token, NOW).unwrap();
    bench.runtime.block_on(bench.auth.logout(&identity)).unwrap();
    for _ in 0..2 {
        assert!(matches!(bench.auth.identify(&tokens.access_token, NOW), Err(AuthError::SessionEnded)));
        assert!(matches!(bench.refresh(&tokens, NOW), Err(AuthError::SessionEnded)));
        assert!(bench.auth.identify(&stays.access_token, NOW).is_ok());
        bench.restart(NOW);
    }
}

#[test]
fn a_refresh_token_is_good_once_and_its_return_ends_the_session() {
    let mut bench = Bench::new();
    bench.make("ada", Role::Operator);
    let first = bench.login("ada", GOOD, 1, NOW).unwrap();
    assert_eq!((first.expires_in, first.refresh_expires_in), (900, Some(604_800)));
    let expired = AuthError::Token(TokenError::Expired).to_string();
    assert_eq!(bench.auth.identify(&first.access_token, NOW + 900).unwrap_err().to_string(), expired);
    let second = bench.refresh(&first, NOW + 900).unwrap();
    assert_eq!(second.session_id, first.session_id);
    assert!(bench.auth.identify(&second.access_token, NOW + 900).is_ok());
    bench.restart(NOW + 900);
    assert!(matches!(bench.refresh(&first, NOW + 901), Err(AuthError::Reused)));
    assert!(matches!(bench.refresh(&second, NOW + 901), Err(AuthError::SessionEnded)));
    assert!(matches!(bench.auth.identify(&second.access_token, NOW + 901), Err(AuthError::SessionEnded)));
    let text = first.refresh_token.unwrap();
    for forged in ["", "jrf_", "jrf_x.y", &text[4..], &format!("{text}x"), &text.replace('.', "")] {
        let told = bench.runtime.block_on(bench.auth.refresh(forged, NOW));
        assert!(matches!(told, Err(AuthError::SessionEnded)), "{forged}");
    }
}

#[test]
fn a_session_nobody_refreshes_expires() {
    let mut bench = Bench::new();
    bench.make("ada", Role::Operator);
    let tokens = bench.login("ada", GOOD, 1, NOW).unwrap();
    assert!(matches!(bench.refresh(&tokens, NOW + 604_800), Err(AuthError::SessionEnded)));
    bench.restart(NOW + 604_800);
    assert!(bench.auth.sessions(None).is_empty());
}

#[test]
fn an_account_that_is_changed_loses_its_sessions() {
    let bench = Bench::new();
    let id = bench.make("ada", Role::Operator);
    let tokens = bench.login("ada", GOOD, 1, NOW).unwrap();
    let change =
        |change, version| bench.runtime.block_on(bench.auth.change_account(&id, change, version, NOW));
    let demoted = AccountChange { role: Some(Role::Analyst), ..AccountChange::default() };
    assert!(matches!(change(demoted.clone(), Some(7)), Err(AuthError::Stale { found: 1 })));
    assert_eq!(change(demoted, Some(1)).unwrap().account.version, 2);
    assert!(matches!(bench.auth.identify(&tokens.access_token, NOW), Err(AuthError::SessionEnded)));
    let tokens = bench.login("ada", GOOD, 1, NOW).unwrap();
    let disabled = AccountChange { enabled: Some(false), ..AccountChange::default() };
    change(disabled, None).unwrap();
    assert!(matches!(bench.auth.identify(&tokens.access_token, NOW), Err(AuthError::SessionEnded)));
    assert!(matches!(bench.login("ada", GOOD, 1, NOW), Err(AuthError::Credentials)));
}

#[test]
fn one_admin_stays() {
    let bench = Bench::new();
    let admin = bench.auth.accounts()[0].user_id.clone();
    let run = |change| bench.runtime.block_on(bench.auth.change_account(&admin, change, None, NOW));
    for change in [
        AccountChange { role: Some(Role::Analyst), ..AccountChange::default() },
        AccountChange { enabled: Some(false), ..AccountChange::default() },
    ] {
        assert!(matches!(run(change), Err(AuthError::LastAdmin)));
    }
    let remove = || bench.runtime.block_on(bench.auth.remove_account(&admin, None));
    assert!(matches!(remove(), Err(AuthError::LastAdmin)));
    bench.make("second", Role::Admin);
    assert!(remove().is_ok());
    assert!(matches!(remove(), Err(AuthError::Unknown { .. })));
}

#[test]
fn names_are_one_whatever_their_case_and_wrong_ones_are_refused() {
    let bench = Bench::new();
    bench.make("Ada", Role::Employee);
    let make = |name: &str, secret: Option<&str>| {
        let new =
            NewAccount { username: name.to_owned(), role: Role::Employee, password: secret.map(password) };
        bench.runtime.block_on(bench.auth.make_account(new, NOW))
    };
    assert!(matches!(make("aDA", Some(GOOD)), Err(AuthError::NameTaken(_))));
    for name in ["", "a b", "a\n", "a/b", &"x".repeat(65)] {
        assert!(matches!(make(name, Some(GOOD)), Err(AuthError::Username(_))), "{name:?}");
    }
    assert!(matches!(make("bob", Some("too short")), Err(AuthError::Password(_))));
    let made = make("bob", None).unwrap();
    let secret = made.secret.unwrap();
    assert!(made.account.must_change_password);
    assert!(bench.login("bob", &secret, 1, NOW).is_ok());
}

#[test]
fn guessing_is_slowed_and_does_not_keep_the_owner_out() {
    let bench = Bench::new();
    bench.make("ada", Role::Analyst);
    for _ in 0..6 {
        assert!(matches!(bench.login("ada", "is it this one?", 66, NOW), Err(AuthError::Credentials)));
    }
    let told = bench.login("ada", GOOD, 66, NOW);
    assert!(matches!(told, Err(AuthError::Throttled { retry_after_s: 2 })), "even with the right one");
    assert!(bench.login("ada", GOOD, 1, NOW).is_ok());
    assert!(bench.login("ada", GOOD, 66, NOW + 2).is_ok());
}

#[test]
fn reference_tokens_are_sessions_too() {
    let mut bench = Bench::new();
    bench.make("ada", Role::Analyst);
    let login = || Login {
        username: "ada".to_owned(),
        password: password(GOOD),
        token_form: Some(TokenForm::Reference),
    };
    let first = bench.runtime.block_on(bench.auth.login(login(), client(1), NOW)).unwrap();
    assert!(first.access_token.len() < 64, "{}", first.access_token);
    assert_eq!(bench.auth.identify(&first.access_token, NOW).unwrap().account.username, "ada");
    let told = bench.auth.identify(&first.access_token, NOW + 900);
    assert!(matches!(told, Err(AuthError::Token(TokenError::Expired))));
    let second = bench.refresh(&first, NOW + 10).unwrap();
    let told = bench.auth.identify(&first.access_token, NOW + 10);
    assert!(matches!(told, Err(AuthError::Token(TokenError::UnknownKey))), "one is good at a time");
    bench.restart(NOW);
    let identity = bench.auth.identify(&second.access_token, NOW + 10).unwrap();
    bench.runtime.block_on(bench.auth.logout(&identity)).unwrap();
    assert!(bench.auth.identify(&second.access_token, NOW + 10).is_err());
}

#[test]
fn programs_have_tokens_without_a_password() {
    let bench = Bench::new();
    let new = NewAccount { username: "grafana".to_owned(), role: Role::Service, password: None };
    let made = bench.runtime.block_on(bench.auth.make_account(new, NOW)).unwrap();
    assert!(made.secret.is_none() && !made.account.has_password);
    assert!(matches!(bench.login("grafana", "", 1, NOW), Err(AuthError::Credentials)));
    let id = &made.account.user_id;
    let ask = |purpose: &str, ttl_s| {
        bench.runtime.block_on(bench.auth.token_for_program(id, purpose, ttl_s, None, NOW))
    };
    let tokens = ask("dashboards", 86_400).unwrap();
    assert!(tokens.refresh_token.is_none());
    let identity = bench.auth.identify(&tokens.access_token, NOW + 86_399).unwrap();
    assert!(identity.may(Permission::TelemetryRead).is_ok());
    assert!(matches!(
        identity.may(Permission::PolicyWrite),
        Err(AuthError::Forbidden { needs: Permission::PolicyWrite, role: Role::Service })
    ));
    assert!(matches!(ask("dashboards", 0), Err(AuthError::Invalid(_))));
    assert!(matches!(ask("", 60), Err(AuthError::Invalid(_))));
    let sessions = bench.auth.sessions(Some(id));
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].purpose.as_deref(), Some("dashboards"));
    let other = bench.make("ada", Role::Analyst);
    let end = |account| bench.runtime.block_on(bench.auth.end(&sessions[0].session_id, account));
    assert!(matches!(end(Some(other.as_str())), Err(AuthError::Unknown { .. })), "another's session");
    end(None).unwrap();
    assert!(bench.auth.identify(&tokens.access_token, NOW).is_err());
}

#[test]
fn sessions_of_one_account_have_a_bound() {
    let bench = Bench::new();
    let new = NewAccount { username: "bot".to_owned(), role: Role::Service, password: None };
    let id = bench.runtime.block_on(bench.auth.make_account(new, NOW)).unwrap().account.user_id;
    let ask = |at: u64| {
        let form = Some(TokenForm::Reference);
        bench.runtime.block_on(bench.auth.token_for_program(&id, "x", 9_999, form, NOW + at)).unwrap()
    };
    let first = ask(0);
    for at in 1..64 {
        ask(at);
    }
    assert!(bench.auth.identify(&first.access_token, NOW + 64).is_ok());
    ask(64);
    assert!(bench.auth.identify(&first.access_token, NOW + 65).is_err(), "the oldest went");
    assert_eq!(bench.auth.sessions(Some(&id)).len(), 64);
}

#[test]
fn tickets_speak_for_their_session_once() {
    let bench = Bench::new();
    bench.make("ada", Role::Analyst);
    let tokens = bench.login("ada", GOOD, 1, NOW).unwrap();
    let identity = bench.auth.identify(&tokens.access_token, NOW).unwrap();
    let from = Some(client(1).address);
    let ticket = bench.auth.ticket(&identity, "alerts", from, NOW).unwrap();
    let who = bench.auth.redeem(ticket.text(), "alerts", from, NOW + 5).unwrap();
    assert_eq!(who.account.username, "ada");
    assert!(bench.auth.redeem(ticket.text(), "alerts", from, NOW + 5).is_err());
    let ticket = bench.auth.ticket(&identity, "alerts", from, NOW).unwrap();
    bench.runtime.block_on(bench.auth.logout(&identity)).unwrap();
    let told = bench.auth.redeem(ticket.text(), "alerts", from, NOW + 5);
    assert!(matches!(told, Err(AuthError::SessionEnded)));
}

#[test]
fn tokens_of_the_key_before_stay_good() {
    let bench = Bench::new();
    bench.make("ada", Role::Analyst);
    let before = bench.login("ada", GOOD, 1, NOW).unwrap();
    let ring = bench.runtime.block_on(bench.auth.rotate(Some(Algorithm::MlDsa65))).unwrap();
    let kept = std::fs::read(bench.dir.path().join("keys.json")).unwrap();
    let kept = KeyRing::of_set(&serde_json::from_slice(&kept).unwrap()).unwrap();
    assert_eq!(kept.signing().verifying().kid(), ring.signing().verifying().kid());
    let after = bench.login("ada", GOOD, 1, NOW).unwrap();
    for tokens in [&before, &after] {
        assert!(bench.auth.identify(&tokens.access_token, NOW).is_ok());
    }
    assert_eq!(bench.auth.ring().public().len(), 2);
}
