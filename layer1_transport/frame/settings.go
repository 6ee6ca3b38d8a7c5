package frame

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// A SettingID names a setting. RFC 9113 §6.5.2.
type SettingID uint16

// The settings of RFC 9113 §6.5.2. Others are ignored by whoever does not know
// them.
const (
	SettingHeaderTableSize      SettingID = 0x1
	SettingEnablePush           SettingID = 0x2
	SettingMaxConcurrentStreams SettingID = 0x3
	SettingInitialWindowSize    SettingID = 0x4
	SettingMaxFrameSize         SettingID = 0x5
	SettingMaxHeaderListSize    SettingID = 0x6
)

var settingNames = [...]string{
	SettingHeaderTableSize:      "SETTINGS_HEADER_TABLE_SIZE",
	SettingEnablePush:           "SETTINGS_ENABLE_PUSH",
	SettingMaxConcurrentStreams: "SETTINGS_MAX_CONCURRENT_STREAMS",
	SettingInitialWindowSize:    "SETTINGS_INITIAL_WINDOW_SIZE",
	SettingMaxFrameSize:         "SETTINGS_MAX_FRAME_SIZE",
	SettingMaxHeaderListSize:    "SETTINGS_MAX_HEADER_LIST_SIZE",
}

// String returns the name that RFC 9113 §6.5.2 gives the setting.
func (id SettingID) String() string {
	if int(id) < len(settingNames) && id != 0 {
		return settingNames[id]
	}
	return "SETTINGS_0x" + strconv.FormatUint(uint64(id), 16)
}

// A Setting is one parameter of the connection. RFC 9113 §6.5.1.
type Setting struct {
	ID  SettingID
	Val uint32
}

// String returns for example "SETTINGS_MAX_FRAME_SIZE=16384".
func (s Setting) String() string { return fmt.Sprintf("%v=%d", s.ID, s.Val) }

// Valid returns a connection error for a value that RFC 9113 §6.5.2 forbids to
// everybody. One rule depends on the role and is the caller's: a server must
// not send SETTINGS_ENABLE_PUSH=1.
func (s Setting) Valid() error {
	switch s.ID {
	case SettingEnablePush:
		if s.Val > 1 {
			return connError(CodeProtocol, "%v is neither 0 nor 1", s)
		}
	case SettingInitialWindowSize:
		if s.Val > MaxWindow {
			return connError(CodeFlowControl, "%v exceeds %d", s, MaxWindow)
		}
	case SettingMaxFrameSize:
		if s.Val < MinMaxFrameSize || s.Val > MaxMaxFrameSize {
			return connError(CodeProtocol, "%v is not within %d and %d", s, MinMaxFrameSize, MaxMaxFrameSize)
		}
	}
	return nil
}

// settingLen is the number of octets of one setting. RFC 9113 §6.5.1.
const settingLen = 6

// Settings is a SETTINGS frame: parameters of its sender, or the receipt for
// ours. They are applied in order, so that of two values for one identifier
// the later stays. RFC 9113 §6.5.
type Settings struct {
	Ack bool

	p []byte // a multiple of settingLen octets, all values valid
}

// Len returns the number of settings.
func (s Settings) Len() int { return len(s.p) / settingLen }

// At returns setting i, which is less than Len.
func (s Settings) At(i int) Setting {
	e := s.p[i*settingLen:][:settingLen]
	return Setting{
		ID:  SettingID(binary.BigEndian.Uint16(e)),
		Val: binary.BigEndian.Uint32(e[2:]),
	}
}

// ParseSettings parses the payload p of a SETTINGS frame; the result aliases
// p. Every value has passed Valid. All its errors are connection errors.
func ParseSettings(h Header, p []byte) (Settings, error) {
	if err := needConnection(h); err != nil {
		return Settings{}, err
	}
	s := Settings{Ack: h.Flags.Has(FlagAck), p: p}
	if s.Ack && len(p) != 0 {
		return Settings{}, connError(CodeFrameSize, "SETTINGS with the ACK flag has length %d", len(p))
	}
	if len(p)%settingLen != 0 {
		return Settings{}, connError(CodeFrameSize, "SETTINGS length %d is not a multiple of 6", len(p))
	}
	for i := range s.Len() {
		if err := s.At(i).Valid(); err != nil {
			return Settings{}, err
		}
	}
	return s, nil
}

// AppendSettings appends a SETTINGS frame; no setting at all is fine.
func AppendSettings(dst []byte, settings ...Setting) []byte {
	dst = AppendHeader(dst, len(settings)*settingLen, TypeSettings, 0, 0)
	for _, s := range settings {
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.ID))
		dst = binary.BigEndian.AppendUint32(dst, s.Val)
	}
	return dst
}

// AppendSettingsAck appends the receipt for one SETTINGS frame of the peer.
// RFC 9113 §6.5.3.
func AppendSettingsAck(dst []byte) []byte {
	return AppendHeader(dst, 0, TypeSettings, FlagAck, 0)
}
