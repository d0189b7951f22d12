package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// store is what a KairosDB keeps of points: a second one of a series at the same time takes the place of the first.
type store struct {
	points   map[string]bool
	requests int
	refuse   func(request int) bool
	lose     bool // answer that points were taken, and keep none
}

func (s *store) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	switch request.URL.Path {
	case "/api/v1/health/check":
		answer.WriteHeader(http.StatusNoContent)
	case "/api/v1/datapoints/query":
		fmt.Fprintf(answer, `{"queries":[{"results":[{"values":[[1,%d],[2,%d]]}]}]}`, len(s.points), 0)
	case "/api/v1/datapoints":
		s.requests++
		if s.refuse != nil && s.refuse(s.requests) {
			http.Error(answer, "no", http.StatusInternalServerError)
			return
		}
		s.take(request)
		answer.WriteHeader(http.StatusNoContent)
	}
}

func (s *store) take(request *http.Request) {
	var given []struct {
		Name       string
		Tags       map[string]string
		Datapoints [][2]float64
	}
	if err := json.NewDecoder(request.Body).Decode(&given); err != nil {
		panic(err)
	}
	for _, one := range given {
		for _, point := range one.Datapoints {
			if !s.lose {
				s.points[fmt.Sprint(one.Name, one.Tags, int64(point[0]))] = true
			}
		}
	}
}

func serve(t *testing.T, s *store) string {
	t.Helper()
	s.points = map[string]bool{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func load(t *testing.T, addr string, more ...string) (report, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "counted.json")
	words := append([]string{"-addr", addr, "-duration", "200ms", "-worker.num", "1", "-report", path}, more...)
	options, err := readOptions(words)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(context.Background(), options, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var found report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &found); err != nil {
		t.Fatal(err)
	}
	return found, path
}

func TestEveryPointThatIsCountedIsAnotherOne(t *testing.T) {
	s := &store{}
	addr := serve(t, s)
	found, path := load(t, addr, "-batch.series", "3", "-batch.points", "7", "-series.num", "5")
	if found.TotalPoints == 0 || found.TotalPoints != int64(len(s.points)) {
		t.Errorf("counted %d points, there are %d", found.TotalPoints, len(s.points))
	}
	if err := verify([]string{"-addr", addr, "-report", path}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}

func TestARequestThatFailsIsSentAgainWithTheSamePoints(t *testing.T) {
	s := &store{refuse: func(request int) bool { return request == 2 }}
	found, _ := load(t, serve(t, s))
	if found.RetriedRequests != 1 || found.FailedRequests != 0 || found.TotalPoints != int64(len(s.points)) {
		t.Errorf("%+v, and %d points", found, len(s.points))
	}
}

func TestARequestThatNeverSucceedsHasNoPoints(t *testing.T) {
	s := &store{refuse: func(request int) bool { return request > 1 && request <= 5 }}
	found, _ := load(t, serve(t, s))
	if found.FailedRequests != 1 || found.TotalPoints != int64(len(s.points)) {
		t.Errorf("%+v, and %d points", found, len(s.points))
	}
}

func TestPointsThatAreLostAreNoticed(t *testing.T) {
	s := &store{lose: true}
	addr := serve(t, s)
	_, path := load(t, addr)
	err := verify([]string{"-addr", addr, "-report", path, "-wait", "0s"}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "read back 0") {
		t.Errorf("found %v", err)
	}
}

func TestOnePointTooManyIsNoticed(t *testing.T) {
	s := &store{}
	addr := serve(t, s)
	_, path := load(t, addr)
	s.points["of somebody else"] = true
	if err := verify([]string{"-addr", addr, "-report", path}, &bytes.Buffer{}); err == nil {
		t.Error("nothing was noticed")
	}
}

func TestADatabaseThatTakesNothingIsAnError(t *testing.T) {
	options, err := readOptions([]string{"-addr", "http://127.0.0.1:1", "-duration", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), options, &bytes.Buffer{}); err == nil {
		t.Error("found no error")
	}
}

func TestEveryWrongOptionIsNamed(t *testing.T) {
	for option, words := range map[string][]string{
		"-worker.num":             {"-worker.num", "0"},
		"-batch.series":           {"-batch.series", "11"},
		"-series.numTags":         {"-series.numTags", "1"},
		"-duration":               {"-duration", "0s"},
		"-time.interval":          {"-time.interval", "1500us"},
		"-value.generator":        {"-value.generator", "sine"},
		"-series.prefix":          {"-series.prefix", `a"b`},
		"-seed":                   {"-binary", "/bin/true", "-seed", "3"},
		"belongs to no option":    {"run"},
		"provided but not define": {"-churn"},
	} {
		if _, err := readOptions(words); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%s: found %v", option, err)
		}
	}
}

func TestXephonBGetsItsOwnConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	options, err := readOptions([]string{"-binary", "/nowhere/xb", "-batch.points", "7", "-time.interval", "2ms"})
	if err != nil {
		t.Fatal(err)
	}
	if err := execXephonB(options); err == nil {
		t.Error("found no error of a program that is not there")
	}
	text, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Workloads []struct {
			Batch struct{ Points int }
			Time  struct{ Interval string }
		}
	}
	if err := json.Unmarshal(text, &found); err != nil || found.Workloads[0].Batch.Points != 7 || found.Workloads[0].Time.Interval != "2ms" {
		t.Errorf("%v: %s", err, text)
	}
}
