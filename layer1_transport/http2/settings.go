package http2

import (
	"fmt"
	"math"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/input"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// peerSettings is what the peer's SETTINGS say. RFC 9113 §6.5.2.
type peerSettings struct {
	received      bool // the first SETTINGS frame is here
	initialWindow int64
	maxFrame      int
	maxStreams    uint32
	maxHeaderList uint32
}

// initialPeerSettings are the values before the peer has said anything.
func initialPeerSettings() peerSettings {
	return peerSettings{
		initialWindow: frame.DefaultWindow,
		maxFrame:      frame.MinMaxFrameSize,
		maxStreams:    assumedMaxStreams,
		maxHeaderList: math.MaxUint32,
	}
}

// greet appends the first frames of this end: the preface of a client, our
// SETTINGS, and the connection window. RFC 9113 §3.4. From then on the peer owes
// a receipt and signs of life.
func (s *session) greet() {
	s.now = time.Now()
	s.awaitReceipt()
	s.checkAlive(s.now)
	s.out.Append(func(b []byte) []byte {
		if s.role == client {
			b = append(b, frame.ClientPreface...)
			if s.trace.On() {
				s.trace.Connection("preface", trace.DirSend, 0, "the connection preface of RFC 9113 §3.4")
			}
		}
		start := len(b)
		settings := []frame.Setting{
			{ID: frame.SettingInitialWindowSize, Val: uint32(s.cfg.StreamWindow)},
			{ID: frame.SettingMaxHeaderListSize, Val: s.cfg.MaxHeaderList},
		}
		if s.role == client {
			settings = append(settings, frame.Setting{ID: frame.SettingEnablePush, Val: 0})
		} else {
			settings = append(settings, frame.Setting{ID: frame.SettingMaxConcurrentStreams, Val: s.cfg.MaxStreams})
		}
		if s.cfg.DecoderTable != defaultTable {
			settings = append(settings, frame.Setting{ID: frame.SettingHeaderTableSize, Val: uint32(max(0, s.cfg.DecoderTable))})
		}
		b = frame.AppendSettings(b, settings...)
		s.traceSent(b, start, fmt.Sprint(settings))
		if extra := s.flow.recv.size - frame.DefaultWindow; extra > 0 {
			b = s.windowUpdate(b, 0, uint32(extra))
		}
		return b
	})
}

// onSettings applies the peer's values in order and answers. RFC 9113 §6.5.3.
func (s *session) onSettings(h frame.Header, p []byte) error {
	f, err := frame.ParseSettings(h, p)
	if err != nil {
		return err
	}
	if f.Ack {
		return s.onSettingsAck()
	}
	if f.Len() > maxSettings {
		return connError(frame.CodeEnhanceYourCalm, "SETTINGS with %d entries, the limit is %d", f.Len(), maxSettings)
	}
	first := !s.peer.received
	if first {
		s.peer.received = true
		s.peer.maxStreams = math.MaxUint32
	} else {
		s.spend(settingsFlood) // each may touch every stream
	}
	initial := s.peer.initialWindow
	for i := range f.Len() {
		// Only the last window counts, since nothing is sent in between.
		if set := f.At(i); set.ID == frame.SettingInitialWindowSize {
			initial = int64(set.Val)
		} else if err := s.applySetting(set); err != nil {
			return err
		}
	}
	if err := s.resizeWindows(initial); err != nil {
		return err
	}
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendSettingsAck(b)
		s.traceSent(b, start, "")
		return b
	})
	if s.trace.On() {
		p := &s.peer
		s.trace.Connection("settings", trace.DirRecv, s.trace.Last(), fmt.Sprintf("the peer takes %d streams, windows of %d, frames of %d and header lists of %d bytes",
			p.maxStreams, p.initialWindow, p.maxFrame, p.maxHeaderList))
	}
	s.openWaiting()
	s.pumpWaiting()
	return nil
}

// awaitReceipt begins the time that the peer has for our oldest SETTINGS that
// it has not acknowledged. RFC 9113 §6.5.3. The last read may be long ago where
// the application has just begun to read a message.
func (s *session) awaitReceipt() {
	if s.cfg.SettingsTimeout > 0 {
		s.control.alarms.Arm(alarmSettingsAck, time.Now().Add(s.cfg.SettingsTimeout))
	}
}

// onSettingsAck takes the receipt for our oldest SETTINGS. RFC 9113 §6.5.3 does
// not say what one receipt too many is. It is an error, as in most
// implementations: nobody could tell any more which settings the peer has.
func (s *session) onSettingsAck() error {
	f := &s.flow
	if f.receipts == f.settings {
		return connError(frame.CodeProtocol, "a SETTINGS acknowledgement for no SETTINGS")
	}
	s.onReceipt()
	if f.receipts < f.settings {
		s.awaitReceipt()
	} else {
		s.control.alarms.Disarm(alarmSettingsAck)
	}
	return nil
}

func (s *session) applySetting(set frame.Setting) error {
	if err := set.Valid(); err != nil {
		return err
	}
	switch set.ID {
	case frame.SettingHeaderTableSize:
		s.enc.SetMaxTableSize(set.Val)
	case frame.SettingEnablePush:
		if s.role == client && set.Val != 0 { // RFC 9113 §6.5.2: a server must not
			return connError(frame.CodeProtocol, "a server sent SETTINGS_ENABLE_PUSH %d", set.Val)
		}
	case frame.SettingMaxConcurrentStreams:
		s.peer.maxStreams = set.Val
	case frame.SettingMaxFrameSize:
		s.peer.maxFrame = int(set.Val)
	case frame.SettingMaxHeaderListSize:
		s.peer.maxHeaderList = set.Val
	}
	return nil
}

// resizeWindows applies SETTINGS_INITIAL_WINDOW_SIZE to the open streams. The
// connection window does not change. RFC 9113 §6.9.2.
func (s *session) resizeWindows(initial int64) error {
	delta := initial - s.peer.initialWindow
	if delta == 0 {
		return nil
	}
	s.peer.initialWindow = initial
	for _, st := range s.streams {
		if !st.send.window.grant(delta) {
			return connError(frame.CodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE %d overflows the window of stream %d", initial, st.id)
		}
		if delta > 0 {
			s.wait(st)
		}
	}
	return nil
}

// allowLongFrames tells the peer, once, that its frames may be longer: when the
// first long message comes, of which more is then read straight into its memory.
// Before that there is no use for it, and a header block keeps to 16 KiB a frame.
func (s *session) allowLongFrames() {
	if s.flow.longFrames {
		return
	}
	s.flow.longFrames = true
	s.sendSetting(frame.Setting{ID: frame.SettingMaxFrameSize, Val: input.LongFrame})
}

// sendSetting sends a SETTINGS frame with one entry, whose receipt will come.
// RFC 9113 §6.5.
func (s *session) sendSetting(set frame.Setting) {
	if s.flow.settings++; s.flow.settings-s.flow.receipts == 1 {
		s.awaitReceipt()
	}
	s.out.Append(func(b []byte) []byte {
		start := len(b)
		b = frame.AppendSettings(b, set)
		s.traceSent(b, start, fmt.Sprint(set))
		return b
	})
}
