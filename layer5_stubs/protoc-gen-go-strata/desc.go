package main

import (
	"strconv"

	"google.golang.org/protobuf/compiler/protogen"
)

// serviceDesc writes the table that a server dispatches by and that a client
// takes its StreamDescs from.
func (g *file) serviceDesc(svc *protogen.Service) {
	desc := descName(svc)
	g.P("// ", desc, " describes ", svc.Desc.FullName(), " to a stubs.ServiceRegistrar.")
	g.P("// It is read by every call: do not modify it.")
	g.P("var ", desc, " = ", g.stubs("ServiceDesc"), "{")
	g.P("ServiceName: ", quoted(string(svc.Desc.FullName())), ",")
	g.P("HandlerType: (*", svc.GoName, "Server)(nil),")

	g.P("Methods: []", g.stubs("MethodDesc"), "{")
	for _, m := range svc.Methods {
		if isUnary(m) {
			g.P("{MethodName: ", quoted(string(m.Desc.Name())), ", Handler: ", handlerName(m), "},")
		}
	}
	g.P("},")

	g.P("Streams: []", g.stubs("StreamDesc"), "{")
	for _, m := range svc.Methods {
		if !isUnary(m) {
			g.streamDesc(m)
		}
	}
	g.P("},")

	g.P("Metadata: ", quoted(g.proto.Desc.Path()), ",")
	g.P("}")
	g.P()
}

// streamDesc writes one element of Streams. A field that would be false is left out.
func (g *file) streamDesc(m *protogen.Method) {
	g.P("{")
	g.P("StreamName: ", quoted(string(m.Desc.Name())), ",")
	g.P("Handler: ", handlerName(m), ",")
	if m.Desc.IsStreamingServer() {
		g.P("ServerStreams: true,")
	}
	if m.Desc.IsStreamingClient() {
		g.P("ClientStreams: true,")
	}
	g.P("},")
}

// descName returns the name of the variable that serviceDesc declares.
func descName(svc *protogen.Service) string {
	return svc.GoName + "_ServiceDesc"
}

// quoted returns s as a Go string literal.
func quoted(s string) string { return strconv.Quote(s) }
