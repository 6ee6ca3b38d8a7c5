package framescript

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
)

// A Server plays one script on each connection that it accepts. The variable
// $conn counts them from 1.
type Server struct {
	// Set by Serve, read-only afterwards.
	script  *Script
	lis     net.Listener
	options Options
	ctx     context.Context // ends the scripts; it is the life of the Server
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	runs []*ServerRun
}

// A ServerRun is the script on one connection of a Server.
type ServerRun struct {
	Record *Record
	Err    error // why the script failed; nil if it came to its end
	Done   bool  // the script is over; Record and Err are set
}

// Serve accepts connections until Close.
func Serve(lis net.Listener, s *Script, o Options) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	srv := &Server{script: s, lis: lis, options: o, ctx: ctx, cancel: cancel}
	srv.running.Add(1)
	go srv.acceptLoop()
	return srv
}

// Addr returns where it listens.
func (s *Server) Addr() net.Addr { return s.lis.Addr() }

func (s *Server) acceptLoop() {
	defer s.running.Done()
	for {
		nc, err := s.lis.Accept()
		if err != nil {
			return // of Close, or there is nothing more to be had
		}
		run := new(ServerRun)
		s.mu.Lock()
		s.runs = append(s.runs, run)
		number := len(s.runs)
		s.mu.Unlock()
		s.running.Add(1)
		go s.serve(nc, number, run)
	}
}

// serve plays the script on one connection.
func (s *Server) serve(nc net.Conn, number int, run *ServerRun) {
	defer s.running.Done()
	o := s.options
	o.Vars = map[string]string{}
	for k, v := range s.options.Vars {
		o.Vars[k] = v
	}
	o.Vars["conn"] = strconv.Itoa(number)
	record, err := s.script.Run(s.ctx, nc, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	run.Record, run.Err, run.Done = record, err, true
}

// Runs returns a copy of what is known about each connection, in the order in
// which they were accepted.
func (s *Server) Runs() []ServerRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]ServerRun, len(s.runs))
	for i, r := range s.runs {
		all[i] = *r
	}
	return all
}

// Close stops accepting, ends the scripts that still run, waits for them and
// returns the errors of those that had failed before.
func (s *Server) Close() error {
	_ = s.lis.Close() // it may be closed already
	var failed []error
	for _, r := range s.Runs() {
		failed = append(failed, r.Err)
	}
	s.cancel()
	s.running.Wait()
	return errors.Join(failed...)
}
