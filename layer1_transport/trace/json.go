package trace

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Header describes a recording.
type Header struct {
	// Title is for humans, such as "one unary call".
	Title string
	// Scenario is the name of what was run, such as "unary".
	Scenario string
	// Virtual says that the clock was testing/synctest's, so that times are
	// the same in every run.
	Virtual bool
}

// WriteJSON writes records in the format grpctrace/1: one JSON object a line,
// the first of which is the header.
//
//	{"grpctrace":1,"title":"…","clock":"virtual","t0":"…","unit":"ns",
//	 "endpoints":[{"id":"client"}],"lanes":[{"id":"client/http2 client reader","ep":"client"}],"scenario":{"name":"unary"}}
//	{"i":4,"t":1200,"ep":"client","lane":"client/application","layer":1,"comp":"http2","op":"frame","ph":"i","dir":"tx",
//	 "conn":1,"stream":1,"cause":3,"off":24,"data":{"text":"HEADERS END_HEADERS","len":92,"fields":[{"n":":method","v":"POST"}]},"bytes":"00005c…"}
//
// The objects are shown on two lines here. i numbers events from 1 and cause is
// the i of the event that led to this one. t is nanoseconds since t0. ph is "i":
// every event is an instant. dir is tx and rx at layers 0 and 1, else up and
// down. off is the place of a frame in the bytes of its direction. What is zero
// or empty is left out, except i, t and layer.
func WriteJSON(w io.Writer, h Header, records []Record) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(headerLine(h, records)); err != nil {
		return fmt.Errorf("trace: writing the header: %w", err)
	}
	for i := range records {
		if err := enc.Encode(eventLine(&records[i])); err != nil {
			return fmt.Errorf("trace: writing event %d: %w", records[i].ID, err)
		}
	}
	return nil
}

type jsonHeader struct {
	Format    int            `json:"grpctrace"`
	Title     string         `json:"title,omitempty"`
	Clock     string         `json:"clock"`
	T0        string         `json:"t0,omitempty"`
	Unit      string         `json:"unit"`
	Endpoints []jsonEndpoint `json:"endpoints"`
	Lanes     []jsonLane     `json:"lanes"`
	Scenario  *jsonScenario  `json:"scenario,omitempty"`
}

type jsonEndpoint struct {
	ID string `json:"id"`
}

type jsonLane struct {
	ID       string `json:"id"`
	Endpoint string `json:"ep"`
}

type jsonScenario struct {
	Name string `json:"name"`
}

type jsonEvent struct {
	I        EventID   `json:"i"`
	T        int64     `json:"t"`
	Endpoint string    `json:"ep"`
	Lane     string    `json:"lane"`
	Layer    uint8     `json:"layer"`
	Comp     string    `json:"comp,omitempty"`
	Op       string    `json:"op,omitempty"`
	Ph       string    `json:"ph"`
	Dir      string    `json:"dir,omitempty"`
	Conn     uint64    `json:"conn,omitempty"`
	Stream   uint32    `json:"stream,omitempty"`
	Call     uint64    `json:"call,omitempty"`
	Batch    uint32    `json:"batch,omitempty"`
	Tag      string    `json:"tag,omitempty"`
	Cause    EventID   `json:"cause,omitempty"`
	Offset   int64     `json:"off,omitempty"`
	Data     *jsonData `json:"data,omitempty"`
	Bytes    string    `json:"bytes,omitempty"`
}

type jsonData struct {
	Text   string      `json:"text,omitempty"`
	Len    int         `json:"len,omitempty"`
	Fields []jsonField `json:"fields,omitempty"`
	Error  string      `json:"error,omitempty"`
}

type jsonField struct {
	Name  string `json:"n"`
	Value string `json:"v,omitempty"`
}

// headerLine lists the endpoints and lanes in the order in which they appear.
func headerLine(h Header, records []Record) jsonHeader {
	line := jsonHeader{Format: 1, Title: h.Title, Clock: "monotonic", Unit: "ns", Endpoints: []jsonEndpoint{}, Lanes: []jsonLane{}}
	if h.Virtual {
		line.Clock = "virtual"
	}
	if h.Scenario != "" {
		line.Scenario = &jsonScenario{h.Scenario}
	}
	if len(records) > 0 {
		line.T0 = records[0].Time.Add(-records[0].Elapsed).UTC().Format(time.RFC3339Nano)
	}
	for i := range records {
		r := &records[i]
		if e := (jsonEndpoint{r.Endpoint}); !slices.Contains(line.Endpoints, e) {
			line.Endpoints = append(line.Endpoints, e)
		}
		if l := (jsonLane{laneID(r), r.Endpoint}); !slices.Contains(line.Lanes, l) {
			line.Lanes = append(line.Lanes, l)
		}
	}
	return line
}

func laneID(r *Record) string { return r.Endpoint + "/" + r.Lane }

func eventLine(r *Record) jsonEvent {
	line := jsonEvent{
		I: r.ID, T: int64(r.Elapsed), Endpoint: r.Endpoint, Lane: laneID(r), Layer: r.Layer, Comp: r.Component, Op: r.Op,
		Ph: "i", Dir: jsonDir(r.Dir), Conn: r.Conn, Stream: r.Stream, Call: r.Call, Batch: r.Batch, Tag: r.Tag,
		Cause: r.Cause, Offset: r.Offset, Bytes: hex.EncodeToString(r.Bytes),
	}
	if r.Text == "" && r.Size == 0 && len(r.Fields) == 0 && r.Err == nil {
		return line
	}
	line.Data = &jsonData{Text: r.Text, Len: r.Size}
	for _, f := range r.Fields {
		line.Data.Fields = append(line.Data.Fields, jsonField(f))
	}
	if r.Err != nil {
		line.Data.Error = r.Err.Error()
	}
	return line
}

// jsonDir names directions as viewers of packet captures do.
func jsonDir(d Dir) string {
	switch d {
	case DirSend:
		return "tx"
	case DirRecv:
		return "rx"
	default:
		return d.String()
	}
}
