// system("this is a comment");
static int file_system(int a)
{
	return a;
}

static void calls(char *text)
{
	system(text);
	file_system(1); // popen(text)
	FILE *f = popen (text, "r");
	execl("/bin/sh", "sh", "-c", text, NULL);
	sprintf(text, "%s", text);
	snprintf(text, 1, "x");
	if (gets(text))
		strcat(text, text);
}
