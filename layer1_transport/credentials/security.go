package credentials

// A SecurityLevel is what a connection does for the bytes on it.
type SecurityLevel uint8

// The levels, each with all that the ones before it have.
const (
	// NoSecurity: whoever is on the way can read and change everything.
	NoSecurity SecurityLevel = iota
	// IntegrityOnly: a change is noticed, reading is not.
	IntegrityOnly
	// PrivacyAndIntegrity: nobody on the way can read or change anything.
	PrivacyAndIntegrity
)

// String returns the name of the level.
func (l SecurityLevel) String() string {
	switch l {
	case NoSecurity:
		return "NoSecurity"
	case IntegrityOnly:
		return "IntegrityOnly"
	case PrivacyAndIntegrity:
		return "PrivacyAndIntegrity"
	}
	return "unknown"
}

// A Leveler is an AuthInfo that knows the level of its connection.
type Leveler interface {
	SecurityLevel() SecurityLevel
}

// LevelOf returns the level of a connection. It is NoSecurity where info is nil
// or does not say.
func LevelOf(info AuthInfo) SecurityLevel {
	if l, ok := info.(Leveler); ok {
		return l.SecurityLevel()
	}
	return NoSecurity
}

// An AuthorityValidator is an AuthInfo that knows for which authorities the
// peer may speak, so that a call may name another one than its channel does.
// gRFC A81.
type AuthorityValidator interface {
	// ValidateAuthority returns why the peer may not speak for authority, nil
	// if it may. It does no I/O.
	ValidateAuthority(authority string) error
}
