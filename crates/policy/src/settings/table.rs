//! The rows. Names of keys, values and nodes are those of Windows; the words are ours.

use super::Format::{Bool, Chr, Int};
use super::{AccountProtection, Class, Csp, Effect, Format, Gpo, Kind, Setting, Stricter, Tenant};

const HELLO: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork";
const HELLO_EXCLUDE: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork\ExcludeSecurityDevices";
const HELLO_UNLOCK: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork\DeviceUnlock";
const HELLO_DYNAMIC_LOCK: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork\DynamicLock";
const COMPLEXITY: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork\PINComplexity";
const BIOMETRIC_SIGN_IN: &str =
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\WinBio\Credential Provider";
const FACIAL_FEATURES: &str = r"SOFTWARE\Policies\Microsoft\Biometrics\FacialFeatures";
const LATCHKEY: &str = r"SOFTWARE\Policies\Latchkey";

const CHARACTERS: &[(u32, &str)] = &[(0, "allowed"), (1, "required"), (2, "forbidden")];
const ATTESTATION: &[(u32, &str)] = &[(0, "off"), (1, "prefer"), (2, "require")];
const CREDENTIAL_GUARD: &[(u32, &str)] =
    &[(0, "off"), (1, "on with UEFI lock"), (2, "on without lock")];

macro_rules! tenant {
    ($node:literal) => {
        concat!("Vendor/MSFT/PassportForWork/{TenantId}/Policies/", $node)
    };
}

macro_rules! latchkey {
    ($node:literal) => {
        concat!("Vendor/Latchkey/Policies/", $node)
    };
}

/// What a row leaves out.
const NOWHERE: Setting = Setting {
    id: "",
    name: "",
    admx: None,
    gpo: None,
    csp: None,
    tenant: None,
    account_protection: AccountProtection::No,
    kind: Kind::Switch,
    default: "",
    meaning: "",
    effect: Effect::NotOnLinux,
    pending: false,
    stricter: Stricter::Neither,
};

const fn both(key: &'static str, value: &'static str) -> Option<Gpo> {
    let class = Class::Both;
    Some(Gpo { class, key, value })
}

const fn machine(key: &'static str, value: &'static str) -> Option<Gpo> {
    let class = Class::Machine;
    Some(Gpo { class, key, value })
}

const fn device_tree(path: &'static str, format: Format, default: &'static str) -> Option<Csp> {
    Some(Csp {
        path,
        user: false,
        format,
        default,
    })
}

const fn both_trees(path: &'static str, format: Format, default: &'static str) -> Option<Csp> {
    Some(Csp {
        path,
        user: true,
        format,
        default,
    })
}

const fn tenant(property: &'static str, default: &'static str) -> Option<Tenant> {
    Some(Tenant { property, default })
}

/// Every setting, grouped as administrators know them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        id: "use-hello",
        name: "Use Windows Hello for Business",
        admx: Some("MSPassport_UsePassportForWork"),
        gpo: both(HELLO, "Enabled"),
        csp: both_trees(tenant!("UsePassportForWork"), Bool, "true"),
        tenant: tenant("state", "notConfigured"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Switch,
        default: "not offered; enrollment by hand is allowed",
        meaning: "On: a user who signs in is offered a PIN and a key, and signs in with them \
         afterwards. Off: nobody enrolls, sign-in with the PIN stops and the key is removed. \
         In the user half it is for that user wherever he signs in; in the computer half for \
         whoever signs in to that computer. The user half wins. Taking the setting away again \
         offers the PIN to nobody new and leaves those who have one as they are.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Neither,
    },
    Setting {
        id: "no-provisioning-after-sign-in",
        name: "Do not start enrollment after sign-in",
        admx: Some("MSPassport_UsePassportForWork"),
        gpo: both(HELLO, "DisablePostLogonProvisioning"),
        csp: device_tree(tenant!("DisablePostLogonProvisioning"), Bool, "false"),
        kind: Kind::Switch,
        default: "off: enrollment is offered after sign-in",
        meaning: "On: enrollment is allowed but not offered when a session begins; somebody or \
         something else starts it.",
        effect: Effect::Acts,
        ..NOWHERE
    },
    Setting {
        id: "require-security-device",
        name: "Use a hardware security device",
        admx: Some("MSPassport_RequireSecurityDevice"),
        gpo: machine(HELLO, "RequireSecurityDevice"),
        csp: both_trees(tenant!("RequireSecurityDevice"), Bool, "false"),
        tenant: tenant("securityDeviceRequired", "true"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Switch,
        default: "off: a TPM is preferred, a key in software is taken where there is none",
        meaning: "On: keys are made in the TPM or not at all. A key in software that is already there \
         is refused from then on, and its owner enrolls again.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Greater,
    },
    Setting {
        id: "exclude-tpm12",
        name: "Do not use TPM 1.2",
        admx: Some("MSPassport_RequireSecurityDevice"),
        gpo: machine(HELLO_EXCLUDE, "TPM12"),
        csp: device_tree(tenant!("ExcludeSecurityDevices/TPM12"), Bool, "false"),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: a TPM of version 1.2 does not count as a hardware security device. Latchkey \
         never uses one, whatever is set here.",
        effect: Effect::NotOnLinux,
        stricter: Stricter::Greater,
        ..NOWHERE
    },
    Setting {
        id: "use-biometrics",
        name: "Use biometrics",
        admx: Some("MSPassport_UseBiometrics"),
        gpo: machine(BIOMETRIC_SIGN_IN, "Domain Accounts"),
        csp: device_tree(
            "Vendor/MSFT/PassportForWork/Biometrics/UseBiometrics",
            Bool,
            "false",
        ),
        tenant: tenant("unlockWithBiometricsEnabled", "true"),
        kind: Kind::Switch,
        default: "on: biometrics may be offered",
        meaning: "Off: no biometric gesture is offered beside the PIN. The PIN is needed either way. \
         Its registry value is outside the policy keys, so it stays behind on Windows when \
         the policy goes; here it does not.",
        effect: Effect::Acts,
        pending: true,
        ..NOWHERE
    },
    Setting {
        id: "pin-recovery",
        name: "Use PIN recovery",
        admx: Some("MSPassport_EnablePinRecovery"),
        gpo: machine(HELLO, "EnablePinRecovery"),
        csp: both_trees(tenant!("EnablePinRecovery"), Bool, "false"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Switch,
        default: "off: whoever forgets the PIN enrolls again",
        meaning: "On: keys made from then on can get a new PIN with the help of the recovery service. \
         A key made while it was off can never be recovered.",
        effect: Effect::Acts,
        ..NOWHERE
    },
    Setting {
        id: "certificate-trust",
        name: "Use certificate for on-premises authentication",
        admx: Some("WHFB_UseCertificateForOnPremAuth"),
        gpo: both(HELLO, "UseCertificateForOnPremAuth"),
        csp: device_tree(tenant!("UseCertificateForOnPremAuth"), Bool, "false"),
        account_protection: AccountProtection::Device,
        kind: Kind::Switch,
        default: "off: key trust",
        meaning: "On asks for a certificate for each key, from a registration authority. Latchkey does \
         key trust only, so nobody enrolls while it is on; the log says so as event 362.",
        effect: Effect::Refused,
        ..NOWHERE
    },
    Setting {
        id: "cloud-trust",
        name: "Use cloud trust for on-premises authentication",
        admx: Some("WHFB_UseCloudTrustForOnPremAuth"),
        gpo: machine(HELLO, "UseCloudTrustForOnPremAuth"),
        csp: device_tree(tenant!("UseCloudTrustForOnPremAuth"), Bool, "false"),
        kind: Kind::Switch,
        default: "off: key trust",
        meaning: "On asks for Kerberos tickets through the cloud. Latchkey stays with key trust and \
         warns.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "unlock-group-a",
        name: "Device unlock: first factors",
        admx: Some("MSPassport_UseDeviceUnlock"),
        gpo: machine(HELLO_UNLOCK, "GroupA"),
        csp: device_tree("Vendor/MSFT/PassportForWork/DeviceUnlock/GroupA", Chr, ""),
        kind: Kind::Text,
        default: "none",
        meaning: "Credential providers that count as the first factor when two are asked for to \
         unlock.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "unlock-group-b",
        name: "Device unlock: second factors",
        admx: Some("MSPassport_UseDeviceUnlock"),
        gpo: machine(HELLO_UNLOCK, "GroupB"),
        csp: device_tree("Vendor/MSFT/PassportForWork/DeviceUnlock/GroupB", Chr, ""),
        kind: Kind::Text,
        default: "none",
        meaning: "Credential providers that count as the second factor.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "unlock-plugins",
        name: "Device unlock: signal rules",
        admx: Some("MSPassport_UseDeviceUnlock"),
        gpo: machine(HELLO_UNLOCK, "Plugins"),
        csp: device_tree("Vendor/MSFT/PassportForWork/DeviceUnlock/Plugins", Chr, ""),
        kind: Kind::Text,
        default: "none",
        meaning: "Rules, in XML, for trusted signals such as a network or a telephone nearby.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "dynamic-lock",
        name: "Dynamic lock",
        admx: Some("MSPassport_UseDynamicLock"),
        gpo: machine(HELLO_DYNAMIC_LOCK, "DynamicLock"),
        csp: device_tree(
            "Vendor/MSFT/PassportForWork/DynamicLock/DynamicLock",
            Bool,
            "false",
        ),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: the screen locks when the paired telephone goes away.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "dynamic-lock-plugins",
        name: "Dynamic lock: signal rules",
        admx: Some("MSPassport_UseDynamicLock"),
        gpo: machine(HELLO_DYNAMIC_LOCK, "Plugins"),
        csp: device_tree("Vendor/MSFT/PassportForWork/DynamicLock/Plugins", Chr, ""),
        kind: Kind::Text,
        default: "none",
        meaning: "Rules, in XML, for the signal whose loss locks the screen.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "no-smart-card-emulation",
        name: "Turn off smart card emulation",
        admx: Some("MSPassport_DisableSmartCardNode"),
        gpo: machine(HELLO, "DisableSmartCardNode"),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: the key is not shown to applications as a smart card.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "smart-card-all-users",
        name: "Show the emulated smart card to all users",
        admx: Some("MSPassport_AllowAllUserAccessToSmartCardNode"),
        gpo: machine(HELLO, "AllowAllUserAccessToSmartCardNode"),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: the emulated smart card of one user is listed for the other users of the \
         computer.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "hello-certificates-as-smart-cards",
        name: "Use Hello certificates as smart card certificates",
        admx: Some("MSPassport_UseHelloCertificatesAsSmartCardCertificates"),
        gpo: machine(HELLO, "UseHelloCertificatesAsSmartCardCertificates"),
        csp: device_tree(
            tenant!("UseHelloCertificatesAsSmartCardCertificates"),
            Bool,
            "false",
        ),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: applications see certificates of the key as those of a smart card.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "min-pin-length",
        name: "Minimum PIN length",
        admx: Some("MSPassport_MinimumPINLength"),
        gpo: machine(COMPLEXITY, "MinimumPINLength"),
        csp: both_trees(tenant!("PINComplexity/MinimumPINLength"), Int, "4"),
        tenant: tenant("pinMinimumLength", "6"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Number { min: 4, max: 127 },
        default: "6",
        meaning: "The fewest characters of a PIN. It must be below the maximum; otherwise both lengths \
         are as if unset.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Greater,
    },
    Setting {
        id: "max-pin-length",
        name: "Maximum PIN length",
        admx: Some("MSPassport_MaximumPINLength"),
        gpo: machine(COMPLEXITY, "MaximumPINLength"),
        csp: both_trees(tenant!("PINComplexity/MaximumPINLength"), Int, "127"),
        tenant: tenant("pinMaximumLength", "127"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Number { min: 4, max: 127 },
        default: "127",
        meaning: "The most characters of a PIN.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Smaller,
    },
    Setting {
        id: "uppercase-letters",
        name: "Require uppercase letters",
        admx: Some("MSPassport_UppercaseLetters"),
        gpo: machine(COMPLEXITY, "UppercaseLetters"),
        csp: both_trees(tenant!("PINComplexity/UppercaseLetters"), Int, "0"),
        tenant: tenant("pinUppercaseCharactersUsage", "disallowed"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Choice(CHARACTERS),
        default: "allowed; but where no class of characters is required, a PIN is digits only",
        meaning: "Must a PIN have one of A to Z, may it, or must it not.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Characters,
    },
    Setting {
        id: "lowercase-letters",
        name: "Require lowercase letters",
        admx: Some("MSPassport_LowercaseLetters"),
        gpo: machine(COMPLEXITY, "LowercaseLetters"),
        csp: both_trees(tenant!("PINComplexity/LowercaseLetters"), Int, "0"),
        tenant: tenant("pinLowercaseCharactersUsage", "disallowed"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Choice(CHARACTERS),
        default: "allowed; but where no class of characters is required, a PIN is digits only",
        meaning: "Must a PIN have one of a to z, may it, or must it not.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Characters,
    },
    Setting {
        id: "special-characters",
        name: "Require special characters",
        admx: Some("MSPassport_SpecialCharacters"),
        gpo: machine(COMPLEXITY, "SpecialCharacters"),
        csp: both_trees(tenant!("PINComplexity/SpecialCharacters"), Int, "0"),
        tenant: tenant("pinSpecialCharactersUsage", "disallowed"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Choice(CHARACTERS),
        default: "allowed; but where no class of characters is required, a PIN is digits only",
        meaning: "Must a PIN have a punctuation character of ASCII, may it, or must it not. A blank is \
         none. The settings catalog starts with forbidden (2).",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Characters,
    },
    Setting {
        id: "digits",
        name: "Require digits",
        admx: Some("MSPassport_Digits"),
        gpo: machine(COMPLEXITY, "Digits"),
        csp: both_trees(tenant!("PINComplexity/Digits"), Int, "0"),
        kind: Kind::Choice(CHARACTERS),
        default: "allowed; but where no class of characters is required, a PIN is digits only",
        meaning: "Must a PIN have a digit, may it, or must it not.",
        effect: Effect::Acts,
        stricter: Stricter::Characters,
        ..NOWHERE
    },
    Setting {
        id: "pin-history",
        name: "PIN history",
        admx: Some("MSPassport_PINHistory"),
        gpo: machine(COMPLEXITY, "History"),
        csp: both_trees(tenant!("PINComplexity/History"), Int, "0"),
        tenant: tenant("pinPreviousBlockCount", "5"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Number { min: 0, max: 50 },
        default: "0: any earlier PIN may come back",
        meaning: "How many PINs, the current one included, may not be chosen again. A reset of the PIN \
         forgets them, and only PINs that were replaced while this was set are known. Of a PIN that \
         was replaced a device keeps a slow hash that no other machine can compute; of the current \
         one, nothing.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::Greater,
    },
    Setting {
        id: "pin-expiration",
        name: "PIN expiration",
        admx: Some("MSPassport_PINExpiration"),
        gpo: machine(COMPLEXITY, "Expiration"),
        csp: both_trees(tenant!("PINComplexity/Expiration"), Int, "0"),
        tenant: tenant("pinExpirationInDays", "41"),
        account_protection: AccountProtection::DeviceAndUser,
        kind: Kind::Number { min: 0, max: 730 },
        default: "0: never",
        meaning: "After how many days a PIN has to be changed. Whoever signs in with an older one is \
         asked for a new one first.",
        effect: Effect::Acts,
        pending: false,
        stricter: Stricter::SmallerButZero,
    },
    Setting {
        id: "anti-spoofing",
        name: "Enhanced anti-spoofing for faces",
        gpo: machine(FACIAL_FEATURES, "EnhancedAntiSpoofing"),
        csp: device_tree(
            "Vendor/MSFT/PassportForWork/Biometrics/FacialFeaturesUseEnhancedAntiSpoofing",
            Bool,
            "false",
        ),
        tenant: tenant("enhancedBiometricsState", "notConfigured"),
        account_protection: AccountProtection::Device,
        kind: Kind::Switch,
        default: "off",
        meaning: "On: a face counts only on cameras that can tell it from a picture.",
        effect: Effect::NotOnLinux,
        stricter: Stricter::Greater,
        ..NOWHERE
    },
    Setting {
        id: "peripherals-with-ess",
        name: "Enhanced sign-in security with peripherals",
        csp: device_tree(
            "Vendor/MSFT/PassportForWork/Biometrics/EnableESSwithSupportedPeripherals",
            Int,
            "1",
        ),
        tenant: tenant("enhancedSignInSecurity", "notConfigured"),
        kind: Kind::Switch,
        default: "on",
        meaning: "On: with isolated biometrics active, sensors outside the case are not used. Off: \
         they may be.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "provisioning-for-security-keys",
        name: "Enrollment after sign-in with a security key",
        csp: device_tree(
            tenant!("EnableWindowsHelloProvisioningForSecurityKeys"),
            Bool,
            "false",
        ),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: enrollment is also offered to those who signed in with a security key.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "no-credential-caching",
        name: "Do not cache credentials after sign-in",
        csp: device_tree(tenant!("DisablePostLogonCredentialCaching"), Bool, "false"),
        kind: Kind::Switch,
        default: "off",
        meaning: "A node of the settings catalog whose meaning is not published.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "phone-sign-in",
        name: "Phone sign-in",
        csp: device_tree(tenant!("Remote/UseRemotePassport"), Bool, "false"),
        tenant: tenant("remotePassportEnabled", "false"),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: a telephone may serve as a companion credential.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "security-key-sign-in",
        name: "Sign-in with security keys",
        csp: device_tree(
            "Vendor/MSFT/PassportForWork/SecurityKey/UseSecurityKeyForSignin",
            Int,
            "0",
        ),
        tenant: tenant("securityKeyForSignIn", "notConfigured"),
        kind: Kind::Switch,
        default: "off",
        meaning: "On: FIDO security keys may be used to sign in.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "use-biometrics-deprecated",
        name: "Use biometrics (deprecated node)",
        csp: device_tree("Vendor/MSFT/PassportForWork/UseBiometrics", Bool, "false"),
        kind: Kind::Switch,
        default: "unset",
        meaning: "The predecessor of the node of use-biometrics; it is read by nobody any more.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "credential-guard",
        name: "Credential Guard",
        csp: device_tree(
            "Vendor/MSFT/Policy/Config/DeviceGuard/LsaCfgFlags",
            Int,
            "0",
        ),
        account_protection: AccountProtection::Device,
        kind: Kind::Choice(CREDENTIAL_GUARD),
        default: "off",
        meaning: "Isolation of the secrets of the Windows security authority.",
        effect: Effect::NotOnLinux,
        ..NOWHERE
    },
    Setting {
        id: "enable-on-linux",
        name: "Use Latchkey on Linux",
        admx: Some("Latchkey_EnableOnLinux"),
        gpo: both(LATCHKEY, "EnableOnLinux"),
        csp: both_trees(latchkey!("EnableOnLinux"), Bool, ""),
        kind: Kind::Switch,
        default: "use-hello decides",
        meaning: "For domains whose Windows computers share the group policy: where it is set it \
         stands in place of use-hello on Linux, whichever half either of them is in, and \
         Windows takes no notice of it.",
        effect: Effect::Acts,
        ..NOWHERE
    },
    Setting {
        id: "offline-days",
        name: "Days of sign-in without a domain controller",
        admx: Some("Latchkey_OfflineSignInDays"),
        gpo: machine(LATCHKEY, "OfflineSignInDays"),
        csp: device_tree(latchkey!("OfflineSignInDays"), Int, "30"),
        kind: Kind::Number { min: 0, max: 365 },
        default: "30",
        meaning: "How many days after a domain controller last accepted the key the PIN still opens a \
         session while none can be reached. 0: never.",
        effect: Effect::Acts,
        stricter: Stricter::Smaller,
        ..NOWHERE
    },
    Setting {
        id: "keep-pin",
        name: "Keep the PIN while the session is unlocked",
        admx: Some("Latchkey_KeepPinWhileUnlocked"),
        gpo: machine(LATCHKEY, "KeepPinWhileUnlocked"),
        csp: device_tree(latchkey!("KeepPinWhileUnlocked"), Bool, "true"),
        kind: Kind::Switch,
        default: "on",
        meaning: "On: the PIN is kept in locked memory until the session is locked or ends, for twelve \
         hours at the most, so that tickets are got anew without a question. Off: it never is, \
         and a ticket that ends is not followed by another.",
        effect: Effect::Acts,
        stricter: Stricter::Smaller,
        ..NOWHERE
    },
    Setting {
        id: "pin-in-remote-sessions",
        name: "Take the PIN in remote sessions",
        admx: Some("Latchkey_PinInRemoteSessions"),
        gpo: machine(LATCHKEY, "PinInRemoteSessions"),
        csp: device_tree(latchkey!("PinInRemoteSessions"), Bool, "false"),
        kind: Kind::Switch,
        default: "off: the PIN is for those who sit at the computer",
        meaning: "On: the PIN is also taken from those who come over the network.",
        effect: Effect::Acts,
        stricter: Stricter::Smaller,
        ..NOWHERE
    },
    Setting {
        id: "attestation",
        name: "Attestation of keys",
        admx: Some("Latchkey_Attestation"),
        gpo: machine(LATCHKEY, "Attestation"),
        csp: device_tree(latchkey!("Attestation"), Int, "1"),
        kind: Kind::Choice(ATTESTATION),
        default: "prefer",
        meaning: "Is the proof that a key lives in a TPM left out, sent where there is one, or \
         demanded.",
        effect: Effect::Acts,
        pending: true,
        stricter: Stricter::Greater,
        ..NOWHERE
    },
    Setting {
        id: "require-kdc-eku",
        name: "Require the KDC purpose in the certificate of a domain controller",
        admx: Some("Latchkey_RequireKdcEku"),
        gpo: machine(LATCHKEY, "RequireKdcEku"),
        csp: device_tree(latchkey!("RequireKdcEku"), Bool, "true"),
        kind: Kind::Switch,
        default: "on",
        meaning: "On: the certificate of a domain controller must be made for Kerberos KDCs \
         (id-pkinit-KPKdc). Off: one for servers with the right name is enough, as Windows \
         takes it on joined computers.",
        effect: Effect::Acts,
        stricter: Stricter::Greater,
        ..NOWHERE
    },
];
