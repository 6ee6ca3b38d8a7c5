package main

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// client writes the client's side of a service: interface, constructor, methods.
func (g *file) client(svc *protogen.Service) {
	iface := svc.GoName + "Client"
	impl := strings.ToLower(svc.GoName[:1]) + svc.GoName[1:] + "Client"

	g.P("// ", iface, " calls the methods of ", svc.Desc.FullName(), ".")
	g.P("//")
	g.P("// A call lasts until its status has been received. A caller that abandons a")
	g.P("// stream before that must cancel its ctx.")
	g.docComment(svc.Comments.Leading, serviceDeprecated(svc))
	g.P("type ", iface, " interface {")
	for _, m := range svc.Methods {
		g.comment(m.Comments.Leading, methodDeprecated(m))
		g.P(g.clientSignature(m))
	}
	g.P("}")
	g.P()

	g.P("type ", impl, " struct {")
	g.P("cc ", g.stubs("ClientConnInterface"))
	g.P("}")
	g.P()

	g.P("// New", iface, " returns a client whose calls go through cc.")
	if serviceDeprecated(svc) {
		g.docComment("", true)
	}
	g.P("func New", iface, "(cc ", g.stubs("ClientConnInterface"), ") ", iface, " {")
	g.P("return &", impl, "{cc}")
	g.P("}")
	g.P()

	g.clientMethods(svc, impl)
}

// clientMethods writes the methods of the type named impl.
func (g *file) clientMethods(svc *protogen.Service, impl string) {
	streams := 0 // index in <Svc>_ServiceDesc.Streams
	// Streams keep the order of their methods; serviceDesc counts the same way.
	for _, m := range svc.Methods {
		g.P("func (c *", impl, ") ", g.clientSignature(m), " {")
		if isUnary(m) {
			g.unaryCall(m)
		} else {
			g.streamCall(m, streams)
			streams++
		}
		g.P("}")
		g.P()
		if !isUnary(m) {
			g.streamAlias(m, "Client")
		}
	}
}

// clientSignature returns m's name, parameters and results in the client.
func (g *file) clientSignature(m *protogen.Method) string {
	var request string
	if !m.Desc.IsStreamingClient() {
		request = ", in *" + g.input(m)
	}
	reply := "*" + g.output(m)
	if !isUnary(m) {
		reply = g.streamType(m, "Client")
	}
	return m.GoName + "(ctx " + g.context() + request + ", opts ..." + g.stubs("CallOption") + ") (" + reply + ", error)"
}

// unaryCall writes the body of a method that takes one message and returns one.
// The response is the call's one allocation here.
func (g *file) unaryCall(m *protogen.Method) {
	g.P("out := new(", g.output(m), ")")
	g.P("if err := c.cc.Invoke(ctx, ", fullMethodName(m), ", in, out, opts...); err != nil {")
	g.P("return nil, err")
	g.P("}")
	g.P("return out, nil")
}

// streamCall writes the body of a method with a stream on either side. index is
// its place among the service's streams.
func (g *file) streamCall(m *protogen.Method, index int) {
	g.P("stream, err := c.cc.NewStream(ctx, &", descName(m.Parent), ".Streams[", index, "], ", fullMethodName(m), ", opts...)")
	g.P("if err != nil {")
	g.P("return nil, err")
	g.P("}")
	g.P("x := &", g.stubs("GenericClientStream"), "[", g.input(m), ", ", g.output(m), "]{ClientStream: stream}")
	if !m.Desc.IsStreamingClient() {
		// One request: the caller gets the stream when it has been sent. An error
		// here is the call's status, so that nothing is left to cancel.
		g.P("if err := x.ClientStream.SendMsg(in); err != nil {")
		g.P("return nil, err")
		g.P("}")
		g.P("if err := x.ClientStream.CloseSend(); err != nil {")
		g.P("return nil, err")
		g.P("}")
	}
	g.P("return x, nil")
}
