package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The implementations, by the names they have in tables and flags.
const (
	strataName = "strata"
	grpcGoName = "grpc-go"
)

// smallPayload is the usual size of requests' and responses' payloads,
// maxPayload the largest.
const (
	smallPayload = 100
	maxPayload   = 1 << 20
)

// A scenario is what is measured, whoever does it.
type scenario struct {
	Kind        string `json:"kind"` // unary or bidi
	Concurrency int    `json:"concurrency"`
	Size        int    `json:"payload_bytes"` // each way
	TLS         bool   `json:"tls,omitempty"`
}

// String is what -only looks at: "unary TLS c=64 100 B".
func (s scenario) String() string {
	return fmt.Sprintf("%s c=%d %d B", s.name(), s.Concurrency, s.Size)
}

func (s scenario) name() string {
	if s.TLS {
		return s.Kind + " TLS"
	}
	return s.Kind
}

// scenarios are the rows of the table whose names contain only.
func scenarios(only string) []scenario {
	return slices.DeleteFunc([]scenario{
		{kindUnary, 1, smallPayload, false},
		{kindUnary, 64, smallPayload, false},
		{kindUnary, 64, smallPayload, true},
		{kindUnary, 4, maxPayload, false},
		{kindBidi, 1, smallPayload, false},
		{kindBidi, 64, smallPayload, false},
		{kindBidi, 1, maxPayload, false},
	}, func(s scenario) bool { return !strings.Contains(s.String(), only) })
}

// A pairing says which implementation is on which side.
type pairing struct {
	Client string `json:"client"`
	Server string `json:"server"`
}

// pairings are what takes turns. The first one is the one that all others are
// compared with.
func pairings(mixed bool) []pairing {
	all := []pairing{{grpcGoName, grpcGoName}, {strataName, strataName}}
	if mixed {
		all = append(all, pairing{strataName, grpcGoName}, pairing{grpcGoName, strataName})
	}
	return all
}

// A side is what a call cost one process.
type side struct {
	CPU    float64 `json:"cpu_us_per_call"`
	Allocs float64 `json:"allocs_per_call"`
	Bytes  float64 `json:"bytes_per_call"`
}

// A row holds the figures of one scenario and pairing: of one run, or the
// medians of all.
type row struct {
	scenario
	pairing
	QPS        float64 `json:"qps"`
	MBps       float64 `json:"mb_per_second"` // of payload, each way
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	ClientSide side    `json:"client_side"`
	ServerSide side    `json:"server_side"`
	Ratio      float64 `json:"ratio"` // to grpc-go on both sides, of QPS
}

// A fleet is one client and one server process of each implementation.
type fleet struct {
	clients map[string]*process
	servers map[string]*process
	addrs   map[string]reply
}

// startFleet starts the processes. close must be called even after an error.
func startFleet(ctx context.Context, cfg config, limit time.Duration) (*fleet, error) {
	f := &fleet{clients: map[string]*process{}, servers: map[string]*process{}, addrs: map[string]reply{}}
	for _, impl := range []string{grpcGoName, strataName} {
		server, err := startProcess(ctx, cfg, "server", impl, limit)
		if err != nil {
			return f, err
		}
		f.servers[impl] = server
		reply, err := server.Ask(command{Op: opAddr})
		if err != nil {
			return f, err
		}
		f.addrs[impl] = reply
		if f.clients[impl], err = startProcess(ctx, cfg, "client", impl, limit); err != nil {
			return f, err
		}
	}
	return f, nil
}

// close ends the processes and waits for them: clients first, so that their
// connections are gone when the servers stop.
func (f *fleet) close() error {
	var errs []error
	for _, group := range []map[string]*process{f.clients, f.servers} {
		for _, p := range group {
			if p != nil {
				errs = append(errs, p.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// compare runs all scenarios with all pairings, interleaved.
func compare(ctx context.Context, cfg config) (r *report, err error) {
	all, pairs := scenarios(cfg.only), pairings(cfg.mixed)
	// Generous: a run takes little more than its two intervals.
	limit := time.Duration(cfg.rounds*len(all)*len(pairs))*(2*(cfg.duration+cfg.warmup)+time.Second) + 10*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f, err := startFleet(ctx, cfg, limit)
	defer func() { err = errors.Join(err, f.close()) }()
	if err != nil {
		return nil, err
	}
	runs := map[scenario]map[pairing][]row{}
	for round := range cfg.rounds {
		for _, sc := range all {
			if runs[sc] == nil {
				runs[sc] = map[pairing][]row{}
			}
			for i := range pairs {
				// Another one begins each round: whoever follows an idle
				// moment finds a cooler machine.
				p := pairs[(i+round)%len(pairs)]
				one, err := f.run(sc, p, cfg)
				if err != nil {
					return nil, fmt.Errorf("%v, client %s, server %s: %w", sc, p.Client, p.Server, err)
				}
				runs[sc][p] = append(runs[sc][p], one)
			}
		}
	}
	r = newReport(cfg)
	for _, sc := range all {
		for _, p := range pairs {
			r.Rows = append(r.Rows, summarise(runs[sc][p], runs[sc][pairs[0]]))
		}
	}
	return r, nil
}

// run makes one measurement.
func (f *fleet) run(sc scenario, p pairing, cfg config) (row, error) {
	client, server := f.clients[p.Client], f.servers[p.Server]
	open := command{Op: opOpen, Addr: f.addrs[p.Server].Addr, scenario: sc}
	if sc.TLS {
		open.Addr = f.addrs[p.Server].TLSAddr
	}
	if _, err := client.Ask(open); err != nil {
		return row{}, err
	}
	if _, err := client.Ask(command{Op: opDrive, Duration: cfg.warmup}); err != nil {
		return row{}, err
	}
	before, err := server.Ask(command{Op: opUsage})
	if err != nil {
		return row{}, err
	}
	load, err := client.Ask(command{Op: opDrive, Duration: cfg.duration})
	if err != nil {
		return row{}, err
	}
	after, err := server.Ask(command{Op: opUsage})
	if err != nil {
		return row{}, err
	}
	if _, err := client.Ask(command{Op: opClose}); err != nil {
		return row{}, err
	}
	if load.Calls == 0 {
		return row{}, fmt.Errorf("not one call ended in %v", cfg.duration)
	}
	return row{
		scenario:   sc,
		pairing:    p,
		QPS:        float64(load.Calls) / load.Elapsed.Seconds(),
		MBps:       float64(load.Calls) * float64(sc.Size) / 1e6 / load.Elapsed.Seconds(),
		P50:        micros(load.P50),
		P99:        micros(load.P99),
		ClientSide: load.Usage.perCall(load.Calls),
		ServerSide: after.Usage.minus(before.Usage).perCall(load.Calls),
	}, nil
}

// summarise takes the median of every figure, and of the ratios to the run of
// the base in the same round.
func summarise(runs, base []row) row {
	of := func(figure func(row) float64) float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = figure(r)
		}
		return median(values)
	}
	ratios := make([]float64, len(runs))
	for i := range runs {
		ratios[i] = runs[i].QPS / base[i].QPS
	}
	sideOf := func(get func(row) side) side {
		return side{
			CPU:    of(func(r row) float64 { return get(r).CPU }),
			Allocs: of(func(r row) float64 { return get(r).Allocs }),
			Bytes:  of(func(r row) float64 { return get(r).Bytes }),
		}
	}
	return row{
		scenario:   runs[0].scenario,
		pairing:    runs[0].pairing,
		QPS:        of(func(r row) float64 { return r.QPS }),
		MBps:       of(func(r row) float64 { return r.MBps }),
		P50:        of(func(r row) float64 { return r.P50 }),
		P99:        of(func(r row) float64 { return r.P99 }),
		ClientSide: sideOf(func(r row) side { return r.ClientSide }),
		ServerSide: sideOf(func(r row) side { return r.ServerSide }),
		Ratio:      median(ratios),
	}
}

// median returns the middle value, the mean of both if there are two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// micros returns d in microseconds.
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
