//! What stands between a person and a session besides the PIN: the wait and the phrase after wrong
//! ones, and a new PIN where the right one has to be replaced.

use ipc::{CallError, Failure, PinChange, PinRules, Secret, Signin, SigninAnswer, TokenInfoAnswer};

use crate::flow::{Code, Daemon, Person};

/// What a person has typed because the daemon wants it before the next PIN; nothing where it wants
/// nothing. Where no PIN would be taken now, none is asked for.
pub(crate) fn phrase(
    info: &TokenInfoAnswer,
    person: &mut dyn Person,
) -> Result<Option<String>, Code> {
    if let Some(wait_s) = info.retry_after_s {
        person.tell(&format!(
            "Too many wrong PINs: the next one is taken in {wait_s} s. Sign in with your password."
        ));
        return Err(Code::AuthInfoUnavailable);
    }
    let Some(phrase) = &info.phrase else {
        return Ok(None);
    };
    let typed = person.ask_shown(&format!("Too many wrong PINs. Type {phrase} to go on: "))?;
    if !typed.expose().trim().eq_ignore_ascii_case(phrase) {
        person.tell("That is something else, so no PIN is asked for.");
        return Err(Code::AuthInfoUnavailable);
    }
    Ok(Some(typed.expose().to_owned()))
}

/// Signs in; where the PIN is right and has to be replaced, only after it was. `asks` says whether
/// there is somebody to ask.
pub(crate) fn sign_in(
    request: Signin,
    asks: bool,
    person: &mut dyn Person,
    daemon: &dyn Daemon,
) -> Result<SigninAnswer, CallError> {
    match daemon.sign_in(request.clone()) {
        Err(CallError::Refused(failure)) if failure.code == "pin_change_required" && asks => {
            person.tell(&failure.sentence);
            let pin = replace(&request, person, daemon)?;
            daemon.sign_in(Signin { pin, ..request })
        }
        outcome => outcome,
    }
}

/// The PIN that has taken the place of the one in `request`.
fn replace(
    request: &Signin,
    person: &mut dyn Person,
    daemon: &dyn Daemon,
) -> Result<Secret, CallError> {
    let user = request.user.clone();
    let rules = daemon.pin_rules(PinRules { user: user.clone() })?.rules;
    rules.iter().for_each(|rule| person.inform(rule));
    for _ in 0..TRIES {
        let (Ok(new), Ok(again)) = (person.ask("New PIN: "), person.ask("New PIN again: ")) else {
            break;
        };
        if new.expose() != again.expose() {
            person.tell("The two PINs differ.");
            continue;
        }
        match daemon.change_pin(PinChange {
            user: user.clone(),
            old: request.pin.clone(),
            new: new.clone(),
            phrase: None,
        }) {
            Ok(_) => return Ok(new),
            Err(CallError::Refused(failure)) if failure.code == "pin_refused" => {
                person.tell(&failure.sentence);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Failure::new(
        "pin_change_required",
        "There is no new PIN, so the old one opens nothing; sign in with your password.",
    )
    .into())
}

/// So many new PINs may be refused before the sign-in fails.
const TRIES: u32 = 3;

#[cfg(test)]
mod tests;
