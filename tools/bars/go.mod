module github.com/strata-grpc/strata/tools/bars

go 1.26.0
