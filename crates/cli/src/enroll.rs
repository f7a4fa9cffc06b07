//! `latchkey enroll`: leads a person through an enrollment, or through the reset of a PIN, whose steps
//! are the same.

use std::time::Duration;

use anyhow::{anyhow, bail};
use ipc::{
    CallError, Connection, EnrollAnswer, EnrollCancel, EnrollInput, EnrollPoll, EnrollStart,
    EnrollStep, Failure, PinReset, Proof, Request, Secret,
};
use serde::Serialize;

use crate::{answers::Answers, arguments::Enroll, daemon::PATIENT, output::Output};

#[derive(Serialize)]
struct Enrolled {
    kid: String,
    directory_ms: Option<u64>,
    /// Was the key there before? Then the directory learns nothing.
    #[serde(skip)]
    same_key: bool,
}

/// The conversation with the daemon and with the person.
struct Talk {
    daemon: Connection,
    answers: Answers,
    /// What was said last about what is going on.
    shown: String,
}

/// How it ended, where nothing failed.
enum Ended {
    Enrolled(Enrolled),
    /// The person does not want it, now at least.
    Skipped,
}

pub(crate) fn enroll(how: Enroll, output: &Output) -> anyhow::Result<()> {
    if how.at_sign_in {
        let mut talk = Talk::open(Answers::relayed()?)?;
        let ended = talk.lead(&EnrollStart {});
        talk.close(&ended);
        return ended.map(drop);
    }
    lead(&EnrollStart {}, how.answers_stdin, output)
}

/// Leads a person through the steps that `start` begins.
pub(crate) fn lead(
    start: &impl Request<Answer = EnrollAnswer>,
    answers_stdin: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let answers = match answers_stdin {
        true => Answers::from_stdin()?,
        false => Answers::terminal()?,
    };
    let mut talk = Talk::open(answers)?;
    match talk.lead(start)? {
        Ended::Enrolled(enrolled) => output.result(&enrolled, || done(&enrolled)),
        Ended::Skipped => bail!("given up; nothing was changed"),
    }
}

impl Talk {
    fn open(answers: Answers) -> anyhow::Result<Self> {
        Ok(Self {
            daemon: Connection::open(PATIENT)?,
            answers,
            shown: String::new(),
        })
    }

    /// Leads the person from step to step.
    fn lead<R: Request<Answer = EnrollAnswer>>(&mut self, start: &R) -> anyhow::Result<Ended> {
        let mut at = self.daemon.call(start)?;
        let mut same_key = false;
        loop {
            let input = empty(&at);
            let next = match at.step {
                EnrollStep::Biometrics {} => EnrollInput {
                    way: Some("skip".to_owned()),
                    ..input
                },
                EnrollStep::Account { upn } => {
                    if !self.answers.confirm(&question(R::OP, &upn))? {
                        let session = input.session;
                        self.daemon.call(&EnrollCancel { session })?;
                        return Ok(Ended::Skipped);
                    }
                    EnrollInput {
                        confirm: true,
                        ..input
                    }
                }
                EnrollStep::Password { problem } => {
                    let password = self.secret("password", "Password: ", problem)?;
                    self.answers.tell("Checking who you are …");
                    EnrollInput {
                        password: Some(password),
                        ..input
                    }
                }
                EnrollStep::Otp { problem, others } => {
                    let typed =
                        self.typed("otp", "Code from your authenticator", problem, &others)?;
                    match typed {
                        Some(otp) => EnrollInput {
                            otp: Some(otp),
                            ..input
                        },
                        None => self.choose(&others, None, input)?,
                    }
                }
                EnrollStep::AccessPass { problem, others } => {
                    let typed = self.typed("tap", "Temporary Access Pass", problem, &others)?;
                    match typed {
                        Some(tap) => EnrollInput {
                            tap: Some(tap),
                            ..input
                        },
                        None => self.choose(&others, None, input)?,
                    }
                }
                EnrollStep::Choose { ways, problem } => self.choose(&ways, problem, input)?,
                EnrollStep::Approve { number } => {
                    self.show_once(&approve(number));
                    at = self.poll(input.session)?;
                    continue;
                }
                EnrollStep::Pin { rules, problem } => self.pin(&rules, problem, input)?,
                EnrollStep::Proof { service, statement } => {
                    let proof = Some(prove(&service, &statement)?);
                    EnrollInput { proof, ..input }
                }
                EnrollStep::Working { what, about_s } => {
                    same_key |= what == SETTING_PIN;
                    self.show_once(&doing(&what, about_s));
                    at = self.poll(input.session)?;
                    continue;
                }
                EnrollStep::Done { kid, directory_ms } => {
                    return Ok(Ended::Enrolled(Enrolled {
                        kid,
                        directory_ms,
                        same_key,
                    }));
                }
                EnrollStep::Failed { problem } => return Err(CallError::Refused(problem).into()),
            };
            at = self.daemon.call(&next)?;
        }
    }

    /// Tells somebody who is being signed in how it ended.
    fn close(&mut self, ended: &anyhow::Result<Ended>) {
        match ended {
            Ok(Ended::Enrolled(enrolled)) => self.answers.tell(&done(enrolled)),
            Ok(Ended::Skipped) => self
                .answers
                .tell("No PIN was set up; you are asked again at your next sign-in."),
            Err(error) => self.answers.warn(&format!(
                "No PIN was set up: {error:#} You can try again at your next sign-in, or with \
                 `latchkey enroll`."
            )),
        }
        self.answers.end();
    }

    fn poll(&mut self, session: String) -> anyhow::Result<EnrollAnswer> {
        let wait_s = 25;
        Ok(self.daemon.call(&EnrollPoll { session, wait_s })?)
    }

    /// Says what is going on, unless it was said last.
    fn show_once(&mut self, what: &str) {
        if self.shown != what {
            self.answers.tell(what);
            what.clone_into(&mut self.shown);
        }
    }

    /// Has a second factor typed. None: the person wants another way, and there are some.
    fn typed(
        &mut self,
        name: &str,
        what: &str,
        problem: Option<Failure>,
        others: &[String],
    ) -> anyhow::Result<Option<Secret>> {
        let other_is_given = self.answers.has("way") && !self.answers.has(name);
        if other_is_given && !others.is_empty() {
            return Ok(None);
        }
        let prompt = match others {
            [] => format!("{what}: "),
            _ => format!("{what} (nothing for another way): "),
        };
        let typed = self.secret(name, &prompt, problem)?;
        Ok(Some(typed).filter(|typed| others.is_empty() || !typed.expose().is_empty()))
    }

    /// Has the person choose how to confirm. One way that nothing speaks against is no choice.
    fn choose(
        &mut self,
        ways: &[String],
        problem: Option<Failure>,
        input: EnrollInput,
    ) -> anyhow::Result<EnrollInput> {
        let way = match (ways, &problem) {
            ([], None) => bail!("there is no way to confirm who you are"),
            ([], Some(problem)) => return Err(CallError::Refused(problem.clone()).into()),
            ([only], None) => only.clone(),
            _ => self.chosen(ways, problem.as_ref())?,
        };
        self.answers.tell(match way.as_str() {
            "approval" => "Contacting you …",
            _ => "One moment …",
        });
        Ok(EnrollInput {
            way: Some(way),
            ..input
        })
    }

    fn chosen(&mut self, ways: &[String], problem: Option<&Failure>) -> anyhow::Result<String> {
        if let Some(problem) = problem {
            self.answers.warn(&problem.sentence);
        }
        if self.answers.are_given() {
            let way = self.answers.word("way", "")?;
            return match (way, problem) {
                (Some(way), _) => Ok(way),
                (None, Some(problem)) => Err(CallError::Refused(problem.clone()).into()),
                (None, None) => Err(anyhow!("no answer way= was given")),
            };
        }
        self.answers.tell("How do you confirm who you are?");
        for (number, way) in ways.iter().enumerate() {
            self.answers
                .tell(&format!("  {}  {}", number + 1, name_of(way)));
        }
        loop {
            let answer = self.answers.word("way", "Number: ")?.unwrap_or_default();
            if answer.is_empty() {
                bail!("broken off");
            }
            let place = answer.parse::<usize>().ok();
            let chosen = place.and_then(|place| ways.get(place.checked_sub(1)?));
            if let Some(way) = chosen {
                return Ok(way.clone());
            }
            self.answers.warn("That is none of the numbers.");
        }
    }

    fn pin(
        &mut self,
        rules: &[String],
        problem: Option<Failure>,
        input: EnrollInput,
    ) -> anyhow::Result<EnrollInput> {
        let is_given = self.answers.are_given();
        if !is_given && problem.is_none() {
            show_rules(rules, &mut self.answers);
        }
        let pin = self.secret("pin", "New PIN: ", problem)?;
        let pin_again = match is_given {
            false => self.secret("pin", "New PIN again: ", None)?,
            // Whoever wrote it down has not mistyped it twice.
            true => pin.clone(),
        };
        Ok(EnrollInput {
            pin: Some(pin),
            pin_again: Some(pin_again),
            ..input
        })
    }

    /// Asks, and says why again. Without a further answer the reason is the end.
    fn secret(
        &mut self,
        name: &str,
        prompt: &str,
        problem: Option<Failure>,
    ) -> anyhow::Result<Secret> {
        let is_given = self.answers.are_given();
        if let Some(problem) = problem.as_ref().filter(|_| !is_given) {
            self.answers.warn(&problem.sentence);
        }
        match (self.answers.secret(name, prompt)?, problem) {
            (Some(secret), _) => Ok(secret),
            (None, Some(problem)) => Err(CallError::Refused(problem).into()),
            (None, None) => Err(anyhow!("no answer {name}= was given")),
        }
    }
}

/// What the person is asked first, where the steps were begun by `op`.
fn question(op: &str, upn: &str) -> String {
    match op {
        PinReset::OP => format!("Reset the PIN on this machine for {upn}?"),
        _ => format!("Set up a PIN on this machine for {upn}?"),
    }
}

/// What a new PIN must be.
pub(crate) fn show_rules(rules: &[String], answers: &mut Answers) {
    answers.tell("Choose a PIN.");
    for rule in rules {
        answers.tell(&format!("  {rule}"));
    }
}

fn approve(number: Option<u32>) -> String {
    match number {
        Some(number) => format!(
            "Open {WHERE} where you are signed in already and type the number {number:02} there. \
             Waiting for you …"
        ),
        None => "Approve it where you are signed in already. Waiting for you …".to_owned(),
    }
}

fn name_of(way: &str) -> &str {
    match way {
        "otp" => "a code from your authenticator app",
        "approval" => "an approval where you are signed in already",
        "tap" => "a Temporary Access Pass",
        other => other,
    }
}

/// The server's page on which somebody approves.
const WHERE: &str = "the server's page /approvals";

fn empty(at: &EnrollAnswer) -> EnrollInput {
    EnrollInput {
        session: at.session.clone(),
        confirm: false,
        password: None,
        otp: None,
        tap: None,
        way: None,
        pin: None,
        pin_again: None,
        proof: None,
    }
}

/// Proves to the domain's agent, by the person's own ticket, that it is the person who wants this.
fn prove(service: &str, statement: &str) -> anyhow::Result<Proof> {
    // A token for any other service would be worth something to whoever gets it.
    if !service.starts_with("latchkey-sync/") {
        bail!("the daemon wants a proof for {service}, which is no Latchkey agent");
    }
    let statement = unhex(statement).ok_or_else(|| anyhow!("the statement is not readable"))?;
    let proof = kerberos::gss::initiate(service, &statement).map_err(|error| {
        anyhow!(
            "you hold no usable Kerberos ticket to prove yourself with; sign in with your \
             password first, e.g. by kinit ({error})"
        )
    })?;
    Ok(Proof {
        token: hex(&proof.token),
        mic: hex(&proof.mic),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[h, l]| Some((nibble(*h)? << 4 | nibble(*l)?) as u8))
        .collect()
}

fn doing(what: &str, about_s: Option<u32>) -> String {
    let said = match what {
        "making_key" => "Making your key in the TPM …",
        SETTING_PIN => "Setting your PIN in the TPM …",
        "making_software_key" => "Making your key; this machine keeps it in software …",
        "registering" => "Registering it …",
        "waiting_for_directory" => {
            let seconds = match about_s {
                None => "within seconds".to_owned(),
                Some(1) => "in about a second".to_owned(),
                Some(seconds) => format!("in about {seconds} seconds"),
            };
            return format!(
                "It is registered: you can use your PIN, and resources of the domain {seconds}. \
                 Waiting until Active Directory has your key …"
            );
        }
        other => other,
    };
    said.to_owned()
}

/// The step in which a key that is there gets another PIN.
const SETTING_PIN: &str = "setting_pin";

fn done(enrolled: &Enrolled) -> String {
    if enrolled.same_key {
        return "Done. The key is the same; its PIN is the new one.".to_owned();
    }
    match enrolled.directory_ms.map(Duration::from_millis) {
        Some(took) => format!(
            "Done. Your PIN can be used now, for resources of the domain too: Active Directory had \
             your key after {} ms.",
            took.as_millis()
        ),
        None => "Done. Active Directory does not have your key yet; until then sign in with your \
                 password. `latchkey status` tells when."
            .to_owned(),
    }
}
