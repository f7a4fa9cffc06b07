//! Policies in the form of the original's management interface (Microsoft Graph,
//! `deviceManagementConfigurationPolicy` and what it is made of): settings as trees of instances, and the
//! catalog of definitions that the instances name.
//!
//! A setting that lies below the tenant's node is a child of one group collection for each tree, any other
//! stands alone. What is read comes from anybody: counts are bounded, and each refusal says where in the
//! body it is about.

mod definitions;
mod read;
mod template;
mod write;

use crate::settings::{Scope, Setting};

pub use definitions::{categories, definition, definition_ids, definitions};
pub use read::settings as read;
pub use template::{ACCOUNT_PROTECTION, setting_templates};
pub use write::settings as write;

/// The most settings, and the most children, in one policy; no tree has as many nodes.
pub const MOST: usize = 500;

const TYPE: &str = "#microsoft.graph.deviceManagementConfiguration";

/// The group collection of a tree.
fn collection_id(scope: Scope) -> &'static str {
    match scope {
        Scope::Device => "device_vendor_msft_passportforwork_{tenantid}",
        Scope::User => "user_vendor_msft_passportforwork_{tenantid}",
    }
}

/// Does the setting's node lie below the tenant's?
fn is_child(setting: &Setting) -> bool {
    setting.csp.is_some_and(|csp| {
        csp.path
            .starts_with("Vendor/MSFT/PassportForWork/{TenantId}/")
    })
}
