//! what a PIN must be, and later: settings, group policy, merge and explanation
