package framescript

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// played is what became of two scripts.
type played struct {
	client, server error
	record         *Record // the server's
}

// run plays a client's and a server's script against each other.
func run(t *testing.T, client, server string) (p played) {
	t.Helper()
	cs, err := Parse("client.txt", "client\n"+client)
	if err != nil {
		t.Fatal(err)
	}
	ss, err := Parse("server.txt", "server\n"+server)
	if err != nil {
		t.Fatal(err)
	}
	c, s := memconn.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.record, p.server = ss.Run(context.Background(), s, Options{})
	}()
	_, p.client = cs.Run(context.Background(), c, Options{})
	<-done
	return p
}

const (
	clientHello = "send PREFACE\nsend SETTINGS\nanswer SETTINGS PING\n"
	serverHello = "answer SETTINGS PING\nsend SETTINGS\nawait PREFACE\n"
)

// TestScriptsMeet: what one script sends is what the other sees. Each row is a
// conversation; an empty error means that both come to their end.
func TestScriptsMeet(t *testing.T) {
	for _, tc := range []struct {
		name           string
		client, server string
		cerr, serr     string // parts of the errors
	}{
		{
			name:   "fields of a request, in order",
			client: clientHello + `send HEADERS stream=1 END_STREAM request=/s/m "stream"=x x="a b"` + "\nawait close\n",
			server: serverHello + `await HEADERS stream=1 END_STREAM :path=/s/m te=trailers "stream"=x x="a b" content-type~=grpc` + "\n",
		},
		{
			name:   "a block cut into CONTINUATION frames is one HEADERS",
			client: clientHello + "send HEADERS stream=1 split=1 UNINDEXED request=/s/m\nawait close\n",
			server: serverHello + "ignore SETTINGS\nexpect HEADERS stream=1 -END_STREAM :path=/s/m\n",
		},
		{
			name:   "an answer does not come into a block",
			client: "answer PING\nsend PREFACE\nsend HEADERS stream=1 -END_HEADERS x=y\nwait 2s\nsend CONTINUATION stream=1 a=b\nawait close\n",
			server: "await PREFACE\nwait 1s\nsend PING data=5\nexpect HEADERS x=y a=b\nexpect PING ACK data=5\n",
		},
		{
			name:   "a block of bytes",
			client: clientHello + "send HEADERS stream=1 block=8386+82*3 x=y\nawait close\n",
			server: serverHello + "await HEADERS :method=POST :method=GET x=y\n",
		},
		{
			name:   "a capture is a variable",
			client: clientHello + "send HEADERS stream=7 request=/s/m\nawait RST_STREAM stream=7 code=8\nawait close\n",
			server: serverHello + "await HEADERS stream=?id :path=?path\nset a=${path}x\nsend RST_STREAM stream=$id code=CANCEL\nsend GOAWAY debug=$a\n",
		},
		{
			name:   "loops count",
			client: clientHello + "repeat 3 id=1+2 x=0+10\n  repeat 2 y=5\n    send PING data=$id\n  end\nend\nsend PING data=$id\nawait close\n",
			server: serverHello + "repeat 2\nawait PING data=1\nend\nawait PING data=3\nawait PING data=5\nawait PING data=5\nawait PING data=7\ncount PING min=7 max=7\n",
		},
		{
			name:   "the wrong frame",
			client: clientHello + "send PING data=3\nawait close\n",
			server: "send SETTINGS\nawait SETTINGS\nignore SETTINGS\n\nexpect PING data=4 -ACK\n",
			serr:   "server.txt:6: want PING data=4 -ACK, came PING data=3",
		},
		{
			name:   "nothing in time",
			client: clientHello + "send PING data=3\nawait close within=1m\n",
			server: serverHello + "limit 2s\nawait RST_STREAM\n",
			serr:   "server.txt:6: want RST_STREAM, and in 2s came SETTINGS",
		},
		{
			name:   "the end comes first",
			client: clientHello + "wait 1s\nsend GOAWAY debug=bye\n",
			server: serverHello + "await HEADERS\n",
			serr:   `want HEADERS, but the peer ended the connection (EOF) after SETTINGS`,
		},
		{
			name:   "nothing is expected and something comes",
			client: clientHello + "wait 100ms\nsend WINDOW_UPDATE incr=3\nawait close\n",
			server: serverHello + "await SETTINGS ACK\nexpect nothing within=1s\n",
			serr:   "want nothing, came WINDOW_UPDATE incr=3",
		},
		{
			name:   "too many of a kind",
			client: clientHello + "repeat 5\nsend RST_STREAM stream=1 code=CANCEL\nend\nsend PING\nawait close\n",
			server: serverHello + "await PING\ncount RST_STREAM code=CANCEL max=4\n",
			serr:   "5 RST_STREAM CANCEL came, want 0 to 4",
		},
		{
			name:   "a variable that nobody has set",
			client: "send PING data=$x\n",
			server: "",
			cerr:   "client.txt:2: data: no variable $x",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := run(t, tc.client, tc.server)
				check(t, "client", p.client, tc.cerr)
				check(t, "server", p.server, tc.serr)
			})
		})
	}
}

func check(t *testing.T, who string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", who, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", who, err, want)
	}
}

// TestTour plays the two scripts that explain the language, and sees to it that
// they leave no step and no frame out.
func TestTour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scripts []*Script
		var text strings.Builder
		for _, name := range []string{"tour_client.txt", "tour_server.txt"} {
			s, err := ParseFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			text.Write(b)
			scripts = append(scripts, s)
		}
		c, s := memconn.Pipe()
		over := make(chan error, 1)
		go func() {
			_, err := scripts[1].Run(t.Context(), s, Options{})
			over <- err
		}()
		_, err := scripts[0].Run(t.Context(), c, Options{})
		check(t, "client", err, "")
		check(t, "server", <-over, "")
		for name := range kinds {
			if !strings.Contains(text.String(), "send "+name) {
				t.Errorf("the tour sends no %s", name)
			}
		}
		for name := range verbs {
			if !strings.Contains(text.String(), name) {
				t.Errorf("the tour says nothing of %s", name)
			}
		}
	})
}

// TestDataObeysCredit: OBEY sends no more than the peer allows, padding
// counted, and says so when credit does not come.
func TestDataObeysCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := run(t,
			clientHello+"await SETTINGS initial_window=100\nsend DATA stream=1 len=50 frame=5 pad=4 OBEY\nawait close\n",
			"answer SETTINGS\nsend SETTINGS initial_window=100\nawait SETTINGS ACK\n"+
				"expect DATA len=10 within=1s\nrepeat 9\nexpect DATA len=10\nend\nexpect nothing within=2s\n")
		check(t, "client", p.client, "")
		check(t, "server", p.server, "")
		if p.record.DataBytes != 100 {
			t.Errorf("%d bytes came, want 100", p.record.DataBytes)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := run(t,
			clientHello+"await SETTINGS initial_window=100\nsend DATA stream=1 len=51 frame=5 pad=4 OBEY\n",
			"answer SETTINGS\nsend SETTINGS initial_window=100\nawait close within=1m\n")
		check(t, "client", p.client, "no credit for 6 bytes of stream 1 in 5s: the connection has 65435, the stream 0")
	})
}

// TestOverrunIsAFault: DATA beyond what the script has granted fails it.
func TestOverrunIsAFault(t *testing.T) {
	for _, tc := range []struct{ name, grant, err string }{
		{"granted", "send WINDOW_UPDATE stream=1 incr=1\n", ""},
		{"not granted", "", "overran its window by 1 bytes: DATA stream=1 len=101"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := run(t,
					clientHello+"await SETTINGS initial_window=100\nwait 1s\nsend DATA stream=1 len=101\nawait close\n",
					"answer SETTINGS\nsend SETTINGS initial_window=100\n"+tc.grant+"await SETTINGS ACK\nawait DATA\n")
				// Before our SETTINGS are acknowledged the old window counts.
				if tc.err == "" {
					check(t, "server", p.server, "")
					return
				}
				check(t, "server", p.server, tc.err)
			})
		})
	}
}

// TestTimes: waiting, dripping and limits take exactly as long as they say.
func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		name, client, server string
		want                 time.Duration
	}{
		{"wait", "wait 3s\n", "", 3 * time.Second},
		{"linger ends with the peer", "linger 1m\n", "wait 2s\n", 2 * time.Second},
		{"linger until GOAWAY", "send PREFACE\nlinger 1m until=goaway\n", "wait 1s\nsend GOAWAY\nwait 1m\n", time.Second},
		{"drip", "drip 4 every=1s\nsend PREFACE\nawait close within=1m\n", "await PREFACE within=1m\n", 5 * time.Second},
		{"a limit", "limit 7s\nawait PING\n", "await close within=1m\n", 7 * time.Second},
		{"a loop whose frame does not come", "send PREFACE\nrepeat 9 until=close\nawait PING within=1m\nend\n", "await PREFACE\nwait 3s\n", 3 * time.Second},
		{"a loop that the peer ends", "send PREFACE\nrepeat 1000 until=close\nwait 1s\nsend PING\nend\n", "await PREFACE\nwait 4500ms\n", 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cs, ss := MustParse("c", "client\n"+tc.client), MustParse("s", "server\n"+tc.server)
				c, s := memconn.Pipe()
				over := make(chan struct{})
				go func() {
					defer close(over)
					_, _ = ss.Run(context.Background(), s, Options{}) // the client's time is what counts
				}()
				start := time.Now()
				_, _ = cs.Run(context.Background(), c, Options{})
				if got := time.Since(start); got != tc.want {
					t.Errorf("it took %v, want %v", got, tc.want)
				}
				<-over
			})
		})
	}
}

// TestReadingOff: a script that does not read stops a peer that writes, and
// one that sends to a peer that does not read fails by its limit.
func TestReadingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := run(t,
			"send PREFACE\nsend SETTINGS initial_window=10MiB\nsend WINDOW_UPDATE incr=10MiB\nwait 1s\nreading off\nwait 10s\nreading on\nlinger 1m\n",
			"await PREFACE\nwait 2s\nlimit 3s\nrepeat 100\nsend DATA stream=1 len=16384\nend\n")
		check(t, "client", p.client, "")
		check(t, "server", p.server, "server.txt:6: the peer takes nothing any more: it took nothing for 3s")
	})
}

// TestServer: each connection is numbered, and Close waits and reports.
func TestServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		srv := Serve(lis, MustParse("s.txt", "server\nawait PREFACE\nsend PING data=$conn\nawait close within=1m\n"), Options{})
		for _, script := range []string{"send PREFACE\nawait PING data=1\n", "send PREFACE\nawait PING data=2\n", "close\n"} {
			nc, err := lis.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := MustParse("c.txt", "client\n"+script).Run(t.Context(), nc, Options{}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if err := srv.Close(); err == nil || !strings.Contains(err.Error(), "s.txt:2: want PREFACE, but the peer ended the connection") {
			t.Errorf("Close = %v, want the error of the third connection", err)
		}
		runs := srv.Runs()
		if len(runs) != 3 || runs[0].Err != nil || runs[1].Record.Received["PREFACE"] != 0 || !runs[2].Done {
			t.Errorf("runs = %+v", runs)
		}
	})
}

// TestRunEndsWithItsContext: whatever a script waits for.
func TestRunEndsWithItsContext(t *testing.T) {
	for _, script := range []string{"await PING\n", "wait 1h\n", "repeat 100000\nsend DATA stream=1 len=10000\nend\n", "drip 1 every=1h\nsend PREFACE\nhalf_close\n"} {
		synctest.Test(t, func(t *testing.T) {
			c, s := memconn.Pipe()
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			_, err := MustParse("c", "client\n"+script).Run(ctx, c, Options{Limit: time.Minute})
			if took := time.Since(start); took != time.Second {
				t.Errorf("%q: it took %v, want 1s (%v)", script, took, err)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q: %v, want the deadline among the reasons", script, err)
			}
		})
	}
}

// TestNotes: lines for whoever runs the script.
func TestNotes(t *testing.T) {
	s := MustParse("x", "# why\n@heap 64KiB\nclient\n@heap 3\n@quick\n")
	if text, ok := s.Note("heap"); !ok || text != "64KiB" {
		t.Errorf("Note(heap) = %q, %v", text, ok)
	}
	if _, ok := s.Note("quick"); !ok {
		t.Error("no note quick")
	}
	if _, ok := s.Note("slow"); ok || s.IsServer() || s.Name() != "x" || len(s.NoteKeys()) != 3 {
		t.Errorf("script = %+v", s)
	}
}

// TestHalfCloseNeedsHelp: not every connection can close one direction.
func TestHalfCloseNeedsHelp(t *testing.T) {
	c, s := net.Pipe()
	defer s.Close()
	_, err := MustParse("c", "client\nhalf_close\n").Run(t.Context(), c, Options{})
	check(t, "client", err, "c:2: half_close: the connection cannot close one direction alone")
}
