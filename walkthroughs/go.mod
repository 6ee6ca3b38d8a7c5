module github.com/strata-grpc/strata/walkthroughs

go 1.26.0

require (
	github.com/strata-grpc/strata v0.0.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
)

replace github.com/strata-grpc/strata => ../
