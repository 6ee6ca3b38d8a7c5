package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// defaultReloadInterval is how often files are looked at, at most: two or
	// three calls of stat for each interval in which there are handshakes.
	defaultReloadInterval = 10 * time.Second

	// settleTime is how old a change must be for the time of the file to tell
	// it from the next one. File systems count in steps of up to 2 s, so a
	// file that was read sooner is read again.
	settleTime = 2 * time.Second
)

// TLSFiles names files in PEM and how often to look at them. Where a field is
// empty, that part is taken from Base.
type TLSFiles struct {
	// CertFile and KeyFile are this end's certificate and its key, both or
	// neither. The certificate is followed by those that lead to an authority.
	CertFile, KeyFile string

	// CAFile has the authorities that the other end's certificate must come
	// from. A server that has one demands a certificate of its clients unless
	// Base.ClientAuth says otherwise.
	CAFile string

	// Interval is the least time from one look at the files to the next. Zero
	// means 10 s.
	Interval time.Duration

	// Base is everything else, as for [NewTLS]. Nil means the zero Config. It
	// is copied.
	Base *tls.Config

	// Logger gets a warning when the files cannot be used. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// String names the files, that of the key excepted.
func (f TLSFiles) String() string {
	return fmt.Sprintf("TLSFiles[cert=%s ca=%s interval=%v]", f.CertFile, f.CAFile, f.Interval)
}

// Format writes String for every verb.
func (f TLSFiles) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, f.String()) }

// LogValue is String, for package slog.
func (f TLSFiles) LogValue() slog.Value { return slog.StringValue(f.String()) }

// NewReloadingTLS returns credentials that follow their files: what is in them
// when a connection is made is what it is made with, no more than an interval
// late. It serves either end, or both with the same certificate.
//
// Files are looked at when a connection is made; there is no goroutine, and
// nothing to close. Certificate with key on the one hand and authorities on the
// other are each replaced as a whole. Where new files cannot be used, because
// they are half written for instance, the last good ones stay, a warning is
// logged once, and the files are read again after each interval. Connections
// that are open stay as they are. TLS sessions are not resumed over a change.
//
// The error says which file cannot be used at the start.
func NewReloadingTLS(files TLSFiles) (TransportCredentials, error) {
	if (files.CertFile == "") != (files.KeyFile == "") {
		return nil, errors.New("credentials: TLSFiles has a CertFile without a KeyFile, or a KeyFile without a CertFile")
	}
	if files.CertFile == "" && files.CAFile == "" {
		return nil, errors.New("credentials: TLSFiles names no file")
	}
	if files.Interval < 0 {
		return nil, fmt.Errorf("credentials: TLSFiles has the Interval %v, less than 0", files.Interval)
	}
	if files.Interval == 0 {
		files.Interval = defaultReloadInterval
	}
	if files.Base == nil {
		files.Base = &tls.Config{}
	}
	if b := files.Base; b.GetConfigForClient != nil || files.CertFile != "" && (b.GetCertificate != nil || b.GetClientCertificate != nil) {
		return nil, errors.New("credentials: TLSFiles has a Base that chooses certificates itself, so that the files would not be used")
	}
	files.Base = files.Base.Clone()
	if files.Logger == nil {
		files.Logger = slog.Default()
	}
	c := &reloading{files: files, start: time.Now()}
	if files.CertFile != "" {
		c.pair.paths = []string{files.CertFile, files.KeyFile}
	}
	if files.CAFile != "" {
		c.authorities.paths = []string{files.CAFile}
	}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return c, nil
}

// reloading are credentials from files.
type reloading struct {
	// Set by NewReloadingTLS, read-only afterwards.
	files TLSFiles
	start time.Time // what next counts from

	// Owned by whoever has set busy; no lock.
	pair        source[tls.Certificate]
	authorities source[x509.CertPool]
	complained  bool // since the files were in order

	// Atomic.
	busy    atomic.Bool  // somebody looks at the files
	next    atomic.Int64 // when they are to be looked at again, since start
	current atomic.Pointer[tlsCredentials]
}

func (c *reloading) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, AuthInfo, error) {
	return c.latest().ClientHandshake(ctx, authority, conn)
}

func (c *reloading) ServerHandshake(ctx context.Context, conn net.Conn) (net.Conn, AuthInfo, error) {
	return c.latest().ServerHandshake(ctx, conn)
}

func (c *reloading) Info() ProtocolInfo { return c.current.Load().Info() }

// Format writes the files, that of the key excepted, for every verb.
func (c *reloading) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.files.String()) }

// LogValue is the same, for package slog.
func (c *reloading) LogValue() slog.Value { return c.files.LogValue() }

// latest returns the present credentials, after a look at the files if it is
// time for one. Handshakes that come meanwhile do not wait for it.
func (c *reloading) latest() *tlsCredentials {
	if int64(time.Since(c.start)) >= c.next.Load() && !c.busy.Swap(true) {
		err := c.read()
		if err != nil && !c.complained {
			c.files.Logger.Warn("credentials: the TLS files have changed and cannot be used; the last good ones stay in use",
				"files", c.files, "error", err)
		}
		c.complained = err != nil
		c.busy.Store(false)
	}
	return c.current.Load()
}

// read looks at the files and takes what is new and in order in them. Caller
// has set busy, or is the only one that knows c.
func (c *reloading) read() error {
	defer func() { c.next.Store(int64(time.Since(c.start) + c.files.Interval)) }()
	newPair, err := c.pair.refresh(func() (*tls.Certificate, error) { return loadPair(c.files.CertFile, c.files.KeyFile) })
	newPool, err2 := c.authorities.refresh(func() (*x509.CertPool, error) { return loadPool(c.files.CAFile) })
	err = errors.Join(err, err2)
	if newPair || newPool {
		if c.current.Load() == nil && err != nil {
			return err // nothing is in use yet, and half of it is not enough
		}
		c.current.Store(c.build())
	}
	return err
}

// build returns credentials with what was read last. They are made from scratch
// and so have ticket keys of their own: what a peer proved to the credentials
// before them cannot be resumed. Where Base sets the keys, package tls looks
// again whether the authorities of the session are still among the present ones.
func (c *reloading) build() *tlsCredentials {
	cfg := c.files.Base.Clone()
	if pair := c.pair.value; pair != nil {
		cfg.Certificates = []tls.Certificate{*pair}
	}
	if pool := c.authorities.value; pool != nil {
		cfg.RootCAs, cfg.ClientCAs = pool, pool
		if cfg.ClientAuth == tls.NoClientCert {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if cfg.ClientSessionCache != nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return NewTLS(cfg).(*tlsCredentials)
}

// A source is a value that is read from files.
type source[T any] struct {
	paths  []string // empty: there is nothing to read, and no value
	value  *T       // the last good one
	stamps []stamp  // of the files that value was read from
}

// A stamp tells one content of a file from another.
type stamp struct {
	info    os.FileInfo
	settled bool // the next change shows
}

// refresh reads the files if they are not those that the value is from. It
// reports whether the value is new.
func (s *source[T]) refresh(load func() (*T, error)) (bool, error) {
	if len(s.paths) == 0 {
		return false, nil
	}
	// Before the files are read, so that a change in between is seen next time.
	stamps := make([]stamp, len(s.paths))
	same := len(s.stamps) == len(stamps)
	for i, path := range s.paths {
		info, err := os.Stat(path)
		if err != nil {
			s.stamps = nil
			break // load finds it too, and says it better
		}
		stamps[i] = stamp{info: info, settled: time.Since(info.ModTime()) > settleTime}
		same = same && stamps[i].equal(s.stamps[i])
	}
	if same && s.stamps != nil {
		return false, nil
	}
	value, err := load()
	if err != nil {
		s.stamps = nil
		return false, err
	}
	s.value, s.stamps = value, stamps
	return true, nil
}

// equal reports whether the content is that of old for sure.
func (s stamp) equal(old stamp) bool {
	return old.settled && os.SameFile(s.info, old.info) &&
		s.info.Size() == old.info.Size() && s.info.ModTime().Equal(old.info.ModTime())
}
