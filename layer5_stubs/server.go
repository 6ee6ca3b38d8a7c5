package stubs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
	"github.com/strata-grpc/strata/layer5_stubs/internal/worker"
)

// A Server serves the services that are registered with it. Its life is: make
// it, register, Serve, Shutdown. All methods may be called from any goroutine.
//
// Calls are matched on the goroutine that reads their connection, and handled
// on goroutines that the server keeps.
type Server struct {
	// Set by NewServer, read-only afterwards.
	cfg     serverConfig
	server  *surface.Server
	queue   *cq.Queue // Callback
	unary   UnaryServerInterceptor
	stream  StreamServerInterceptor
	logger  *slog.Logger
	trace   observer
	codings *encoding.Set

	workers worker.Pool
	calls   sync.Pool     // *serverCall
	stopped chan struct{} // closed when nothing is waited for any more
	stop    sync.Once

	mu sync.Mutex // rank 1; layer 4 locks below it
	// Guarded by mu.
	services map[string]*ServiceDesc
	frozen   bool // Serve was called, or the server shut down
}

var _ ServiceRegistrar = (*Server)(nil)

// ErrServerStopped is returned by Serve after Shutdown or Stop.
var ErrServerStopped = errors.New("stubs: the server has been stopped")

// NewServer returns a server without services. It does no I/O. It panics if what
// the options ask for cannot be, with what is wrong.
func NewServer(opts ...ServerOption) *Server {
	s := &Server{services: map[string]*ServiceDesc{}, stopped: make(chan struct{})}
	for i, o := range opts {
		if o == nil {
			panic(fmt.Sprintf("stubs: NewServer: %v", nilOption(i, len(opts))))
		}
		o.applyServer(&s.cfg)
	}
	c := &s.cfg
	s.logger = c.logger
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.trace = observer{c.trace}
	s.unary, s.stream = chainUnaryServer(c.unary), chainStreamServer(c.stream)
	s.server = surface.NewServer(c.serverOptions()...)
	s.codings, _ = c.compression.Set() // layer 4 has checked it
	s.queue = cq.New(cq.Callback, cq.Config{Name: "server", Observer: surface.NewQueueObserver(c.trace)})
	err := s.server.RegisterCompletionQueue(s.queue)
	if err == nil {
		err = s.server.SetBatchMethodAllocator(s.queue, &serverMethod{server: s})
	}
	if err != nil {
		panic(fmt.Sprintf("stubs: a new server refuses its own queue: %v", err))
	}
	return s
}

// RegisterService makes impl serve what desc describes. Generated code calls
// it. It panics if impl is nil or lacks a method, if a service or method is
// registered already, and after Serve.
func (s *Server) RegisterService(desc *ServiceDesc, impl any) {
	if desc == nil {
		panic("stubs: RegisterService without a description of the service")
	}
	if err := s.register(desc, impl); err != nil {
		panic(fmt.Sprintf("stubs: RegisterService(%q): %v", desc.ServiceName, err))
	}
}

func (s *Server) register(desc *ServiceDesc, impl any) error {
	if err := checkImplementation(desc, impl); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen {
		return errors.New("services are registered before Serve")
	}
	if s.services[desc.ServiceName] != nil {
		return errors.New("the service is registered already")
	}
	for i := range desc.Methods {
		m := &desc.Methods[i]
		if m.Handler == nil {
			return fmt.Errorf("method %q has no handler", m.MethodName)
		}
		if err := s.registerMethod(&serverMethod{server: s, impl: impl, unary: m.Handler}, desc.ServiceName, m.MethodName); err != nil {
			return err
		}
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		if d.Handler == nil {
			return fmt.Errorf("method %q has no handler", d.StreamName)
		}
		if err := s.registerMethod(&serverMethod{server: s, impl: impl, desc: d}, desc.ServiceName, d.StreamName); err != nil {
			return err
		}
	}
	s.services[desc.ServiceName] = desc
	return nil
}

// checkImplementation reports why impl cannot serve desc.
func checkImplementation(desc *ServiceDesc, impl any) error {
	if desc.HandlerType == nil {
		return nil
	}
	if impl == nil {
		return errors.New("the implementation is nil")
	}
	if v := reflect.ValueOf(impl); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("the implementation is a nil %T", impl)
	}
	want := reflect.TypeOf(desc.HandlerType).Elem()
	if got := reflect.TypeOf(impl); !got.Implements(want) {
		return fmt.Errorf("%v does not implement %v", got, want)
	}
	return nil
}

// registerMethod makes m serve one path. Layer 4 reads the only request of a
// unary method before it tells of the call.
func (s *Server) registerMethod(m *serverMethod, service, name string) error {
	m.path = "/" + service + "/" + name
	payload := surface.PayloadReadOnly
	if m.desc != nil {
		payload = surface.PayloadNone
		m.info = &StreamServerInfo{FullMethod: m.path, IsClientStream: m.desc.ClientStreams, IsServerStream: m.desc.ServerStreams}
	}
	registered, err := s.server.RegisterMethod(m.path, "", payload)
	if err != nil {
		return err
	}
	return s.server.SetRegisteredMethodAllocator(registered, s.queue, m)
}

// ServiceInfo describes a service that is registered.
type ServiceInfo struct {
	Methods []MethodInfo
	// Metadata is that of the ServiceDesc.
	Metadata any
}

// MethodInfo describes a method of a service.
type MethodInfo struct {
	Name           string
	IsClientStream bool
	IsServerStream bool
}

// GetServiceInfo returns the services by their names.
func (s *Server) GetServiceInfo() map[string]ServiceInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make(map[string]ServiceInfo, len(s.services))
	for name, desc := range s.services {
		methods := make([]MethodInfo, 0, len(desc.Methods)+len(desc.Streams))
		for _, m := range desc.Methods {
			methods = append(methods, MethodInfo{Name: m.MethodName})
		}
		for _, d := range desc.Streams {
			methods = append(methods, MethodInfo{d.StreamName, d.ClientStreams, d.ServerStreams})
		}
		infos[name] = ServiceInfo{Methods: slices.Clip(methods), Metadata: desc.Metadata}
	}
	return infos
}

// Serve accepts connections from lis and serves them until the server shuts
// down; then it returns nil, or ErrServerStopped if that was before. Otherwise
// the error says why lis cannot accept any more. It closes lis. Any number of
// listeners may be served.
func (s *Server) Serve(lis net.Listener) error {
	s.freeze()
	err := s.server.Serve(lis)
	if errors.Is(err, surface.ErrServerClosed) {
		return ErrServerStopped
	}
	return err
}

// ServeTransport serves one connection that exists already, such as an end of
// the in-process transport. It returns at once. The server owns t.
func (s *Server) ServeTransport(t transport.Transport) error {
	s.freeze()
	err := s.server.ServeTransport(t)
	if errors.Is(err, surface.ErrServerClosed) {
		return ErrServerStopped
	}
	return err
}

// freeze ends the time for registering.
func (s *Server) freeze() {
	s.mu.Lock()
	frozen := s.frozen
	s.frozen = true
	s.mu.Unlock()
	if !frozen && len(s.cfg.limits.Methods) > 0 {
		s.warnOfLimits()
	}
}

// warnOfLimits tells of limits that no call will meet, such as those of a method
// whose name has a slip of the pen.
func (s *Server) warnOfLimits() {
	paths := map[string]bool{}
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			paths["/"+service+"/"+m.Name] = true
		}
	}
	for path := range s.cfg.limits.Methods {
		if !paths[path] {
			s.logger.Warn("stubs: CallLimit has limits of a method that no service has", "method", path)
		}
	}
}

// Shutdown ends the server: it accepts no more connections and calls, tells
// handlers that it is draining (see [Draining]), and returns nil when the calls
// under way have ended and their handlers have returned. When ctx ends before
// that, calls are cut off, the contexts of their handlers end, and the error
// wraps that of ctx. A handler that calls it waits for itself until then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.freeze()
	err := s.server.Shutdown(ctx)
	handlers := s.workers.Close()
	switch {
	case s.cfg.waitForHandlers:
		<-handlers
	case err == nil:
		select {
		case <-handlers:
		case <-s.stopped: // by Stop, which does not wait for them either
		case <-ctx.Done():
			select {
			case <-handlers: // both are so
			default:
				err = context.Cause(ctx)
			}
		}
	}
	return s.finished(err)
}

// finished makes whoever still waits for handlers stop waiting, and returns err.
func (s *Server) finished(err error) error {
	s.stop.Do(func() {
		s.queue.Shutdown()
		close(s.stopped)
	})
	return err
}

// GracefulStop is Shutdown without a limit in time. Stop cuts it short.
func (s *Server) GracefulStop() {
	if err := s.Shutdown(context.Background()); err != nil {
		s.logger.Error("stubs: a graceful stop failed", "error", err)
	}
}

// Stop ends the server at once: connections are closed, calls cut off, and the
// contexts of their handlers end. Handlers are not waited for; see
// [WaitForHandlers].
func (s *Server) Stop() {
	s.freeze()
	s.server.Close()
	handlers := s.workers.Close()
	if s.cfg.waitForHandlers {
		<-handlers
	}
	_ = s.finished(nil)
}
